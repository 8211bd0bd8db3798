"""Towers outside of Python: what is exported, and what is refused."""
import pytest
import torch
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import open_clip_vision_tower

from ..conftest import NECK, TINY_ARCH
from ..reference.reduced_arch import reduced_arch
from .hosts import HOSTS


class Encoder(nn.Module):
    """A tower as a function of frames to features, which exporters take."""

    def __init__(self, *necks, arch=TINY_ARCH, tower=None):
        super().__init__()
        self.tower = tower or open_clip_vision_tower(arch, necks=necks)
        self.eval()

    def forward(self, imgs):
        return self.tower.encode(imgs)[0]


def batch(count=2):
    return torch.randn(count, 4, 3, 32, 32)


ROTARY = reduced_arch('PE-Core-B-16', image_size=32)


@pytest.mark.slow
@pytest.mark.parametrize('arch, strict', [(TINY_ARCH, True), (ROTARY, False)],
                         ids=['clip', 'rotary'])
def test_an_exported_tower_clusters_other_batches(tmp_path, arch, strict):
    encoder = Encoder(NECK, arch=arch)
    # Of which the strict export makes constants.
    sizes = None if strict else ({0: torch.export.Dim('batch')}, )
    exported = torch.export.export(encoder, (batch(), ), strict=strict,
                                   dynamic_shapes=sizes)
    torch.export.save(exported, tmp_path / 'tower.pt2')
    loaded = torch.export.load(tmp_path / 'tower.pt2').module()
    for count in [2, 2, 2] if strict else [2, 1, 3]:
        imgs = batch(count)
        torch.testing.assert_close(loaded(imgs), encoder(imgs))


@pytest.mark.slow
@pytest.mark.parametrize('host, neck', [
    ('clip', dict(NECK, type='RandomTokenDrop')),
    ('clip', dict(NECK, adaptive_segments=True)),
    ('clip', dict(type='TokenMerging', before_block=[1, 2], r=1)),
    ('siglip', dict(NECK, type='SpectralTokenClustering')),
    ('pe_core', dict(type='TokenMerging', before_block=2, r=1, num_segments=2)),
    ('videomae', dict(type='SaliencyTokenMerging', before_block=2, r=1)),
    ('timesformer_joint', dict(NECK, type='AgglomerativeClustering')),
    ('timesformer_space', dict(type='TemporalShift', before_block=2)),
])
def test_so_do_other_hosts_and_necks(host, neck):
    encoder = Encoder(tower=HOSTS[host].build([neck]))
    exported = torch.export.export(
        encoder, (torch.randn(2, 8, 3, 32, 32), ), strict=False,
        dynamic_shapes=({0: torch.export.Dim('batch')}, )).module()
    for count in 1, 3:
        imgs = torch.randn(count, 8, 3, 32, 32)
        torch.testing.assert_close(exported(imgs), encoder(imgs))


@pytest.mark.parametrize('neck', [
    NECK,
    dict(NECK, type='SparseTokenSampling'),
    dict(type='TokenShift', before_block=2),
])
def test_a_tower_with_necks_is_not_traced(neck):
    with pytest.raises(InputError, match='traced.*got 1 necks.*torch.export'):
        torch.jit.trace(Encoder(neck), (batch(), ))


def test_nor_is_it_exported_to_onnx(tmp_path):
    with pytest.raises(InputError, match='ONNX'):
        torch.onnx.export(Encoder(NECK), (batch(), ), tmp_path / 'tower.onnx',
                          dynamo=False)


def test_the_newer_onnx_exporter_refuses_it_too(tmp_path):
    pytest.importorskip('onnxscript')
    # It may try another way of its own, where it names the operator.
    with pytest.raises(Exception, match='with necks|mmaction_centerclip.kmedoids'):
        torch.onnx.export(Encoder(NECK), (batch(), ), tmp_path / 'tower.onnx',
                          dynamo=True)


def test_a_tower_without_necks_is_traced_as_before():
    encoder, imgs = Encoder(), batch()
    traced = torch.jit.trace(encoder, (batch(), ), check_trace=False)
    torch.testing.assert_close(traced(imgs), encoder(imgs))
