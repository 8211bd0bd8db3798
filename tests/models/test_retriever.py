import os
import sys
import tempfile

import pytest
import torch
import torch.multiprocessing as mp
from mmaction.registry import MODELS, TRANSFORMS
from mmaction.structures import ActionDataSample
from mmengine.model import MMDistributedDataParallel
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTextRetriever

from ..conftest import NECK
from ..hf_tokenizers import build_arch
from ..processes import SERVER


@pytest.mark.parametrize('necks, segments', [((), 4), ((NECK, ), 2)])
def test_tensor_mode(build_retriever, inputs, necks, segments):
    out = build_retriever(necks)(inputs, mode='tensor')
    assert out['video'].shape == out['text'].shape == (5, 16)
    assert out['segments'].shape == (5, segments, 16)
    assert out['segment_mask'].shape == (5, segments)
    assert out['segment_mask'].dtype == torch.bool
    for name in ('video', 'text'):
        torch.testing.assert_close(out[name].norm(dim=-1), torch.ones(5))


def test_loss_is_symmetric_cross_entropy(build_retriever, inputs):
    model = build_retriever()
    out = model(inputs, mode='tensor')
    frames = F.normalize(out['segments'], dim=-1).mean(dim=1)
    video = F.normalize(frames, dim=-1)
    logits = model.head.logit_scale.exp() * out['text'] @ video.T
    target = torch.arange(5)
    expected = (F.cross_entropy(logits, target)
                + F.cross_entropy(logits.T, target)) / 2
    losses = model(inputs, mode='loss')
    total, log = model.parse_losses(losses)
    torch.testing.assert_close(total, expected)
    assert {'loss_t2v', 'loss_v2t', 'logit_scale'} <= log.keys()


def test_the_logits_keep_their_precision_under_autocast(build_retriever,
                                                        inputs, monkeypatch):
    model = build_retriever()
    logits = []
    monkeypatch.setattr(model.head.loss_module, 'forward',
                        lambda x: logits.append(x) or {})
    with torch.autocast('cpu', dtype=torch.bfloat16):
        model(inputs, mode='loss')
    assert logits[0].dtype == torch.float32


def test_masked_frames_do_not_count(build_retriever, inputs):
    model = build_retriever().eval()
    mask = torch.ones(5, 4).bool()
    mask[0, 2:] = False
    out = model(dict(inputs, frame_mask=mask))
    short = model(dict(inputs, imgs=inputs['imgs'][:, :2]))
    torch.testing.assert_close(out['video'][0], short['video'][0])
    mask[:] = False
    assert model(dict(inputs, frame_mask=mask))['video'].isfinite().all()


@pytest.mark.parametrize('at_a_time', [512, 2])
def test_predict_gives_each_video_its_captions(build_retriever, inputs, at_a_time,
                                               monkeypatch):
    monkeypatch.setattr(sys.modules[VideoTextRetriever.__module__],
                        'CAPTIONS_AT_A_TIME', at_a_time)
    model = build_retriever().eval()
    samples = []
    for count in (2, 3, 0):
        sample = ActionDataSample()
        sample.set_metainfo(dict(
            captions=['a'] * count, missing=count == 0))
        samples.append(sample)
    inputs['imgs'] = inputs['imgs'][:2]
    out = model(inputs, samples, mode='predict')
    features = model(inputs)
    torch.testing.assert_close(out[0].text_features['text'], features['text'][:2])
    torch.testing.assert_close(out[1].text_features['text'], features['text'][2:])
    assert torch.equal(out[1].video_features['video'], features['video'][1])
    assert 'video_features' not in out[2]
    assert model({}, samples[2:], mode='predict') == samples[2:]


@pytest.mark.parametrize('frozen, trained', [(-1, 'all'), (0, 0), (2, 2)])
def test_frozen_layers_mean_what_they_do_in_the_zoo(build_retriever, frozen,
                                                    trained):
    model = build_retriever([NECK], frozen_layers=frozen)
    for name, parameter in model.named_parameters():
        if trained == 'all' or name.startswith('head.'):
            expected = True
        elif '.resblocks.' in name:
            block = int(name.split('.resblocks.')[1].split('.')[0])
            expected = block >= trained
        else:
            expected = name.split('backbone.')[1].startswith(
                ('ln_post', 'proj', 'ln_final', 'text_projection'))
        assert parameter.requires_grad == expected, name


def _samples(*tokenizers):
    samples = [ActionDataSample() for _ in tokenizers]
    for sample, tokenizer in zip(samples, tokenizers):
        sample.set_metainfo(dict(captions=['a'], tokenizer=tokenizer))
    return samples


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_captions_of_another_tokenizer_are_refused(build_retriever, inputs, mode):
    model = build_retriever().eval()
    own = "open_clip's BPE (49408 tokens)"
    assert model(inputs, _samples(*5 * [own]), mode=mode)
    with pytest.raises(InputError, match='bert-base.*, but arch .*BPE .49408'):
        model(inputs, _samples(*4 * [own], 'bert-base (32000 tokens)'), mode=mode)
    # Of samples that say nothing, the ids are looked at.
    assert model(inputs, _samples(*5 * [None]), mode=mode)
    inputs['text'][3, -1] = 1
    for samples in (None, _samples(*5 * [None])):
        if samples or mode == 'loss':
            with pytest.raises(InputError, match='without the end token 49407'):
                model(inputs, samples, mode=mode)
    assert model(inputs, _samples(*5 * [own]), mode=mode)


def test_an_arch_of_another_tokenizer_trains_through_the_pipeline(
        build_retriever, retriever_cfg, inputs, tmp_path):
    arch, ids = build_arch('eos', tmp_path)
    cfg = retriever_cfg()
    cfg.update(arch=arch, text_backbone=dict(type='CLIPTextTower'))
    model = MODELS.build(cfg)
    transform = TRANSFORMS.build(dict(type='OpenCLIPTokenize', model=arch))
    words = ('a', 'dog', 'cat', 'zebra runs', 'zebra sleeps')
    sample = transform(dict(text=words))
    inputs['text'] = sample['text']
    samples = _samples(*5 * [sample['tokenizer']])
    assert model(inputs, samples, mode='loss')['loss_t2v'].isfinite()
    features = torch.stack([
        x.text_features['text'][0]
        for x in model.eval()(inputs, samples, mode='predict')])
    assert len(features.unique(dim=0)) == 5
    with pytest.raises(InputError, match=f'by {tmp_path}.*takes open_clip.s BPE'):
        build_retriever()(inputs, samples, mode='loss')


@pytest.mark.parametrize('options, message', [
    (dict(frozen_layers=4), 'from -1 .* to 3, .* got 4'),
    (dict(backbone=dict(type='ResNet', depth=50)),
     "type must be a VideoTower, got 'ResNet'; .* is made of convolutions"),
    (dict(backbone=dict(type='TimeSformer')), "write type='TimeSformerTower'"),
    (dict(backbone=dict(type='timm.vit_tiny_patch16_224')),
     "write dict.type='TimmVisionTower', model_name='vit_tiny_patch16_224'"),
    (dict(backbone=dict(type='Nothing')), "VideoTower, got 'Nothing'$"),
    (dict(frozen_layers=1.5), 'frozen_layers must be an integer, got 1.5'),
    (dict(backbone=dict(type='TimmVisionTower', embed_dim=24, num_heads=2,
                        depth=1, img_size=32)),
     'features have 1000 dimensions, the text tower.s 16'),
])
def test_bad_options_are_named(retriever_cfg, options, message):
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(retriever_cfg(), **options))


def test_unpaired_training_batch_is_named(build_retriever, inputs):
    inputs['imgs'] = inputs['imgs'][:3]
    with pytest.raises(InputError, match='5 captions for 3 videos'):
        build_retriever()(inputs, mode='loss')


def _gradients(rank, world_size, store, model, inputs, results, samples=()):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank,
        world_size=world_size)
    local = {k: v[rank::world_size] for k, v in inputs.items()}
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
    losses = wrapped(local, samples[rank::world_size], mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    results.put((rank, loss.item(),
                 {n: p.grad.numpy() for n, p in model.named_parameters()}))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(build_retriever, inputs):
    model = build_retriever([NECK])
    inputs = {k: v[:4] for k, v in inputs.items()}
    loss, _ = model.parse_losses(model(inputs, mode='loss'))
    loss.backward()
    expected = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    results = SERVER.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _gradients,
            (2, os.path.join(folder, 'store'), model, inputs, results),
            nprocs=2,
            start_method='forkserver',
            join=False)
        both = [results.get() for _ in range(2)]
    for _, local_loss, grads in both:
        assert local_loss == pytest.approx(loss.item(), rel=1e-5)
        for name, grad in grads.items():
            torch.testing.assert_close(
                torch.from_numpy(grad), expected[name], rtol=1e-5, atol=1e-5)


def samples_of(pairs):
    samples = []
    for pair in pairs:
        samples.append(ActionDataSample())
        samples[-1].set_metainfo(dict(pair_ids=pair) if pair else {})
    return samples


def test_pairs_that_repeat_are_no_negatives(build_retriever, inputs):
    model = build_retriever()
    inputs = {name: x[:3] for name, x in inputs.items()}
    plain = model(inputs, mode='loss')
    for pairs in ([None] * 3, [(1, 1), (2, 2), (3, 3)]):
        same = model(inputs, samples_of(pairs), mode='loss')
        assert {k: v.item() for k, v in same.items()} == {
            k: v.item() for k, v in plain.items()}
    masked = model(inputs, samples_of([(1, 1), (2, 2), (1, 3)]), mode='loss')
    out = model(inputs)
    logits = model.head.logit_scale.exp() * out['text'] @ out['video'].T
    for name, scores in (('loss_t2v', logits), ('loss_v2t', logits.T)):
        expected = sum(
            torch.logsumexp(scores[i, rivals], 0) - scores[i, i]
            for i, rivals in enumerate([[0, 1], [0, 1, 2], [1, 2]])) / 6
        torch.testing.assert_close(masked[name], expected)


def test_a_loss_that_knows_no_repeats(retriever_cfg, inputs):
    @MODELS.register_module(force=True)
    class PlainLoss(torch.nn.Module):
        def forward(self, logits):
            return dict(loss=-logits.diagonal().mean())

    cfg = retriever_cfg()
    cfg['head']['loss'] = dict(type='PlainLoss')
    model = MODELS.build(cfg)
    MODELS.module_dict.pop('PlainLoss')
    losses = [model(inputs, samples_of([(1, i)] * 5), mode='loss')['loss']
              for i in (1, -1)]
    assert torch.equal(*losses)
