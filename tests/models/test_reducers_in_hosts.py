"""Each reducer in each host: runs, trains, and changes nothing where it keeps all."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenReducer

from .hosts import HOSTS
from .test_hosts import mask_of

CENTERS = dict(before_block=2, num_segments=2, num_centers=3)
REDUCERS = {
    'kmedoids': dict(type='TokenClustering'),
    'kmedoids_mean': dict(type='TokenClustering', aggregation='mean'),
    'kkz': dict(type='TokenClustering', max_iters=0, proportional=True),
    'spectral': dict(type='SpectralTokenClustering', sigma='auto'),
    'sampling': dict(type='SparseTokenSampling'),
    'mean': dict(type='SegmentMeanPooling'),
    'tome': dict(type='TokenMerging', r=2),
    'vidtldr': dict(type='SaliencyTokenMerging', r=2),
    'runs': dict(type='RunTokenMerging'),
    'run_lengths': dict(type='RunLengthTokens', threshold=0.5),
    'peaks': dict(type='DensityPeakClustering'),
    'peaks_kept': dict(type='DensityPeakClustering', aggregation='medoid'),
    'agglomerative': dict(type='AgglomerativeClustering'),
    'random': dict(type='RandomTokenDrop'),
    'norm': dict(type='NormTokenDrop'),
    'class': dict(type='ClassSimilarityTokenDrop'),
    'rare': dict(type='RareTokenDrop'),
    'rare_fused': dict(type='RareTokenDrop', fuse=True),
    'duplicates': dict(type='DuplicateTokenDrop'),
    'adaptive': dict(type='TokenClustering', adaptive_segments=True),
    'adaptive_mean': dict(type='SegmentMeanPooling', adaptive_segments=True),
}
each_pair = pytest.mark.parametrize('host, reducer', [
    pytest.param(HOSTS[name], reducer, id=f'{name}-{reducer}')
    for name in ('clip', 'videomae', 'timm_registers') for reducer in REDUCERS])


def test_every_registered_reducer_is_here():
    """So that a new one is tested by a row of this table."""
    own = {name for name, cls in MODELS.module_dict.items()
           if isinstance(cls, type) and issubclass(cls, TokenReducer)
           and cls.__module__.startswith('mmaction_centerclip')}
    assert own == {config['type'] for config in REDUCERS.values()}


def config_of(reducer, **options):
    config = {**CENTERS, **REDUCERS[reducer], **options}
    if config['type'] in ('SegmentMeanPooling', 'TokenMerging', 'SaliencyTokenMerging',
                          'RunLengthTokens'):
        del config['num_centers']
    return config


def refused(host, reducer):
    """Return what the host lacks, if it lacks something that the reducer needs."""
    if reducer == 'class' and not host.prefix:
        return 'needs a class token'
    tower = host.build()
    if reducer in ('tome', 'vidtldr', 'run_lengths') and not tower.open_attention(
            host.blocks(tower)[1]):
        return 'needs keys of the attention'
    if reducer == 'run_lengths' and host.joint:
        return 'num_segments must be 1'
    return None


@each_pair
def test_runs_and_trains(host, reducer, imgs):
    frames, _ = mask_of(host)
    reason = refused(host, reducer)
    if reason:
        with pytest.raises(InputError, match=reason):
            host.build([config_of(reducer)]).encode(imgs, frames)
        return
    tower = host.build([config_of(reducer)])
    with torch.autocast('cpu', torch.bfloat16):
        features, segments = tower.train().encode(imgs, frames)
    count = 1 if host.video_token else 2
    assert features.shape == (3, count, tower.embed_dims)
    assert segments.shape == (3, count) and segments.any(dim=1).all()
    features.float()[segments].square().sum().backward()
    for block in host.blocks(tower):
        for parameter in block.parameters():
            assert parameter.grad.isfinite().all()
    x = tower.run_blocks(imgs).x.detach()
    assert len(x) == 6 and x.isfinite().all()


@pytest.mark.parametrize('name', ['videomae', 'timesformer_joint'])
@torch.no_grad()
def test_attention_over_frames_leaves_segments_of_padding_out(name, imgs):
    host = HOSTS[name]
    options = dict(before_block=1, num_centers=4)
    tower = host.build([config_of('adaptive', num_segments=4, **options)]).eval()
    mask = (torch.arange(8) < 2 * host.tubelet).expand(3, -1)
    features, segments = tower.encode(imgs, mask)
    imgs = imgs.clone()
    imgs[:, 2 * host.tubelet:] = torch.randn(3, 8 - 2 * host.tubelet, 3, 32, 32)
    other, _ = tower.encode(imgs, mask)
    real = 1 if host.video_token else 2
    assert segments[:, :real].all() and not segments[:, real:].any()
    torch.testing.assert_close(other[:, :real], features[:, :real])


@pytest.mark.parametrize('reducer', REDUCERS)
@pytest.mark.parametrize('name', ['videomae'])
def test_training_sees_the_same_tokens(name, reducer, imgs):
    """Necks that keep tokens choose them apart from where the gradient flows."""
    host = HOSTS[name]
    if refused(host, reducer):
        pytest.skip('tested above')
    tower = host.build([config_of(reducer)]).eval()
    frames, _ = mask_of(host)
    got, _ = tower.encode(imgs, frames)
    with torch.no_grad():
        expected, _ = tower.encode(imgs, frames)
    assert got.requires_grad
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('reducer', REDUCERS)
@pytest.mark.parametrize('name', ['timm_registers', 'videomae'])
@torch.no_grad()
def test_keeping_all_is_no_reducer(name, reducer, imgs):
    """To the last bit: each frame a segment, or all frames joined where they are."""
    host = HOSTS[name]
    if refused(host, reducer):
        pytest.skip('tested above')
    frames = 4 if host.joint else 8
    cases = [(frames, 4)]
    if host.joint and reducer not in ('mean', 'adaptive_mean'):
        cases.append((2, 8))
    for segments, centers in cases:
        options = dict(num_centers=centers)
        if reducer in ('tome', 'vidtldr'):
            options = dict(r=0)
        tower = host.build([config_of(reducer, num_segments=segments, **options)])
        got = tower.eval().run_blocks(imgs).x
        tower.attach([])
        expected = tower.run_blocks(imgs).x
        assert torch.equal(got, expected.view_as(got))
