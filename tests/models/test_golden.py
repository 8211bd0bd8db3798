"""Layers and whole models against arrays of the authors' code.

Two layers are in tests/data; the others, and whole models, are too large to be
carried over, and run where they lie in ../shared/golden beside the checkout.
"""
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.conversion import convert_checkpoint
from mmaction_centerclip.models import VideoTokens

from ..paths import golden_files, load
from .selections import record_selections

LAYERS = golden_files('layer_*.npz')
CASES = golden_files('clip_*.npz')


def neck_of(data):
    segments = data['frames_after']
    shared = dict(before_block=1)
    centers = dict(shared, num_segments=segments,
                   num_centers=data['cluster_num'])
    algorithm = data['algorithm']
    if algorithm == 'pooling':
        return dict(shared, type='SegmentMeanPooling', num_segments=segments)
    if algorithm == 'sparse_sampling':
        return dict(centers, type='SparseTokenSampling')
    if algorithm in ('temporal_shift', 'token_shift'):
        name = ''.join(part.title() for part in algorithm.split('_'))
        return dict(shared, type=name)
    aggregation = 'mean' if data['aggregation'] == 'mean' else 'medoid'
    centers.update(aggregation=aggregation, p=data['norm_p'])
    if algorithm == 'spectral':
        return dict(
            centers, type='SpectralTokenClustering', sigma=data['sigma'],
            graph='knn' if data['graph'] == 'KNN' else 'heat',
            knn=data['knn_k'])
    return dict(centers, type='TokenClustering', distance=data['distance'],
                pre_norm=bool(data['pre_norm']))


@pytest.mark.parametrize('path', LAYERS, ids=lambda path: path.stem)
def test_layer(path):
    data = load(path)
    config = neck_of(data)
    if 'cluster_embed' in data:
        config.update(cluster_embed='zeros', embed_dims=data['input'].shape[2])
    neck = MODELS.build(config).eval()
    if 'cluster_embed' in data:
        neck.cluster_embed.data = torch.from_numpy(data['cluster_embed'])
    tokens = torch.from_numpy(data['input']).transpose(0, 1)
    batch_size = len(tokens) // data['frames_before']
    selections = record_selections(neck) if hasattr(neck, 'select') else []
    out = neck(VideoTokens.of(tokens, batch_size, 1)).x
    np.testing.assert_allclose(
        out.transpose(0, 1).detach(), data['output'], atol=1e-5, rtol=0)
    for number, name in enumerate(('medoids', 'assign')):
        if name in data:
            got = selections[0][number].view(data[name].shape)
            np.testing.assert_array_equal(got, data[name])


def variants():
    """File, prefix of the arrays, and a name for each whole model."""
    for path in CASES:
        if path.stem in ('clip_weights', 'clip_inputs'):
            continue
        data = load(path)
        prefixes = sorted({key.rpartition('/')[0] for key in data
                           if key.endswith('/logits')} or {''})
        for prefix in prefixes:
            yield pytest.param(path, prefix, id=f'{path.stem} {prefix}')


def necks_of(name, case):
    """Configs of the necks where frames or tokens inside blocks drop."""
    if 'frames_per_block' not in case:
        return []
    frames, tokens = case['frames_per_block'], case['tokens_per_block']
    necks = []
    for block in range(1, len(frames)):
        if (frames[block], tokens[block]) == (frames[block - 1],
                                              tokens[block - 1]):
            continue
        segments, centers = int(frames[block]), int(tokens[block])
        neck = dict(before_block=block + 1, num_segments=segments)
        if 'pooling' in name:
            neck['type'] = 'SegmentMeanPooling'
        elif 'sparse' in name:
            neck.update(type='SparseTokenSampling', num_centers=centers)
        elif 'shift' in name:
            kind = 'TemporalShift' if 'temporal' in name else 'TokenShift'
            neck = dict(type=kind, before_block=block + 1)
        else:
            p = case.get('norm_p', 1.0 if 'p1' in name else 2.0)
            mean = 'mean' in name.split('_')
            neck.update(type='TokenClustering', num_centers=centers, p=p,
                        aggregation='mean' if mean else 'medoid')
        necks.append(neck)
    return necks


@torch.no_grad()
@pytest.mark.parametrize('path, prefix', list(variants()))
def test_whole_model(path, prefix, tmp_path):
    data = load(path)
    folder = path.parent
    weights = {
        key[3:]: torch.as_tensor(value)
        for key, value in load(folder / 'clip_weights.npz').items()
        if key.startswith('sd/')
    }
    case = {
        key[len(prefix):].lstrip('/'): value
        for key, value in data.items() if key.startswith(prefix)
    }
    if path.stem == 'clip_3d':
        kernel = torch.from_numpy(data['sd/visual.conv2.weight'])
        if prefix == 'init':
            kernel = torch.zeros_like(kernel)
            kernel[:, :, 1] = weights['visual.conv1.weight']
        weights['visual.conv2.weight'] = kernel
        if 'cluster' in prefix:
            case.update({k: data[k] for k in ('frames_per_block',
                                              'tokens_per_block')})
            case['norm_p'] = 1.0
    torch.save(weights, tmp_path / 'clip.pt')
    necks = necks_of(f'{path.stem} {prefix}'.replace(' ', '_'), case)
    config, report = convert_checkpoint(
        str(tmp_path / 'clip.pt'), str(tmp_path / 'out.pth'), ['openai'],
        necks)
    assert report['missing'] == [] and report['unused'] in (
        [], ['visual.position_ids'])
    model = MODELS.build(config).eval()
    model.load_state_dict(torch.load(tmp_path / 'out.pth')['state_dict'])

    inputs = load(folder / 'clip_inputs.npz')
    mask = torch.from_numpy(data.get('video_mask', inputs['video_mask']))
    batch = dict(
        imgs=torch.from_numpy(inputs['video']),
        text=torch.from_numpy(inputs['token_ids']),
        frame_mask=mask)
    selections = [record_selections(neck) if hasattr(neck, 'select') else []
                  for neck in model.backbone.necks]
    out = model(batch)
    for j, selected in enumerate(selections):
        if f'cluster{j}_medoids' in case:
            expected = case[f'cluster{j}_medoids']
            np.testing.assert_array_equal(
                selected[0][0].view(expected.shape), expected)
    for name, ours in (('segment_features', 'segments'),
                       ('pooled_video_features', 'video'),
                       ('text_features_normalized', 'text')):
        if name not in case:
            continue
        got = out[ours]
        if name == 'pooled_video_features':
            assert got.isfinite().all()
        np.testing.assert_allclose(got, case[name], atol=1e-4, rtol=0)
    if 'segment_mask' in case:
        np.testing.assert_array_equal(out['segment_mask'],
                                      case['segment_mask'].astype(bool))
    logits = model.head.logit_scale.exp() * model.head.similarity(
        out, out)
    np.testing.assert_allclose(logits, case['logits'], atol=2e-3, rtol=0)
    if 'loss' in case:
        losses = model(batch, mode='loss')
        total = losses['loss_t2v'] + losses['loss_v2t']
        assert total.item() == pytest.approx(case['loss'], abs=1e-4)
