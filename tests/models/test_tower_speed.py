"""What a tower does to be fast changes no result."""
import pytest
import torch

from mmaction_centerclip.models.backbones import CLIPVisionTower

from ..conftest import NECK
from .test_backbones import vision

SPECTRAL = dict(NECK, type='SpectralTokenClustering', sigma='auto')
SECOND = dict(NECK, before_block=3, num_segments=1, num_centers=2)
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0],
                     [1, 1, 1, 1]]).bool()


def saved_bytes(call):
    """The result, and what it keeps for the backward pass."""
    storages = {}

    def pack(x):
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        result = call()
    return result, sum(storages.values())


def gradients(tower, imgs, mask, autocast):
    tower.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        (features, _), size = saved_bytes(lambda: tower(imgs, mask))
    features.float().square().sum().backward()
    return {n: p.grad.clone() for n, p in tower.named_parameters()}, size


@pytest.mark.parametrize('necks', [
    [NECK], [SPECTRAL], [NECK, SECOND],
    [dict(NECK, cluster_embed='random', frame_embed='random',
          frames_per_segment=2)],
    [NECK, dict(type='SegmentMeanPooling', before_block=2, num_segments=1)],
    [dict(NECK, exclude_padding=True)],
    [dict(NECK, type='SparseTokenSampling')],
], ids=['kmedoids', 'spectral', 'two', 'embeddings', 'two_at_once', 'padding',
        'sampling'])
@pytest.mark.parametrize('autocast', [False, True])
def test_dropped_tokens_are_spared_the_backward_pass(
        monkeypatch, inputs, necks, autocast):
    tower = vision(necks)
    got, small = gradients(tower, inputs['imgs'], MASK, autocast)
    monkeypatch.setattr(CLIPVisionTower, '_selection_after',
                        lambda *args: None)
    expected, large = gradients(tower, inputs['imgs'], MASK, autocast)
    assert small < large
    for name, gradient in expected.items():
        accuracy = 2e-2 if autocast else 1e-5
        torch.testing.assert_close(
            got[name], gradient, rtol=accuracy,
            atol=accuracy * gradient.abs().max().item(), msg=name)


def test_means_of_clusters_keep_every_gradient(inputs):
    tower = vision([dict(NECK, aggregation='mean')])
    assert tower._selection_after(1, tower.transformer.resblocks[0]) is None
    tower(inputs['imgs'])[0].sum().backward()


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('necks', [
    [NECK], [SPECTRAL], [dict(SPECTRAL, sigma=3.0)], [NECK, SECOND],
    [dict(NECK, exclude_padding=True, aggregation='mean')]])
def test_compiles_to_one_graph(inputs, necks, training):
    torch.compiler.reset()
    tower = vision(necks).train(training)
    compiled = torch.compile(tower, fullgraph=True, backend='aot_eager')
    with torch.set_grad_enabled(training):
        got, _ = compiled(inputs['imgs'], MASK)
        expected, _ = tower(inputs['imgs'], MASK)
    torch.testing.assert_close(got, expected)
    if training:
        got.sum().backward()
        assert all(p.grad is not None for p in tower.parameters())
