"""Towers outside of Python: what is exported, and what is refused."""
import pytest
import torch
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import open_clip_vision_tower

from ..conftest import NECK, TINY_ARCH
from ..reference.reduced_arch import reduced_arch


class Encoder(nn.Module):
    """A tower as a function of frames to features, which exporters take."""

    def __init__(self, *necks, arch=TINY_ARCH):
        super().__init__()
        self.tower = open_clip_vision_tower(arch, necks=necks)
        self.eval()

    def forward(self, imgs):
        return self.tower.encode(imgs)[0]


def batch():
    return torch.randn(2, 4, 3, 32, 32)


ROTARY = reduced_arch('PE-Core-B-16', image_size=32)


@pytest.mark.slow
@pytest.mark.parametrize('arch, strict', [(TINY_ARCH, True), (ROTARY, False)],
                         ids=['clip', 'rotary'])
def test_an_exported_tower_clusters_other_batches(tmp_path, arch, strict):
    encoder = Encoder(NECK, arch=arch)
    exported = torch.export.export(encoder, (batch(), ), strict=strict)
    torch.export.save(exported, tmp_path / 'tower.pt2')
    loaded = torch.export.load(tmp_path / 'tower.pt2').module()
    for _ in range(4):
        imgs = batch()
        torch.testing.assert_close(loaded(imgs), encoder(imgs))


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
