"""Towers with necks give in onnxruntime what they give in torch."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.deployment import onnx_export
from mmaction_centerclip.deployment.onnx_folder import HEAD, OUTPUTS, VIDEOS
from mmaction_centerclip.deployment.programs import (
    HeadEncoder,
    VideoEncoder,
    check_any_frames,
)
from mmaction_centerclip.deployment.sessions import Session
from mmaction_centerclip.errors import InputError

from ..conftest import NECK
from ..models import test_uniformerv2
from ..models.hosts import HOSTS

pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow
FRAMES = torch.zeros(2, 8, 3, 32, 32, dtype=torch.uint8)
CASES = {
    'clustered': ('clip', [dict(NECK, aggregation='mean', proportional=True)]),
    'adaptive': ('clip', [dict(NECK, adaptive_segments=True)]),
    'TempMe': ('clip', [
        dict(type='TemporalTokenMerging', before_block=2, num_segments=2),
        dict(type='TokenMerging', before_block=3, r=0.1)]),
    'SigLIP': ('siglip', [
        dict(NECK, type='DensityPeakClustering'),
        dict(type='RareTokenDrop', before_block=3, num_segments=1, num_centers=4,
             fuse=True)]),
    'rotary': ('pe_core', [
        # Of a toy's entropies, which differ in the fifth digit.
        dict(type='SaliencyTokenMerging', before_block=2, r=2),
        dict(NECK, type='DuplicateTokenDrop', before_block=3)]),
    'joint': ('videomae', [
        dict(type='TokenMerging', before_block=2, r=1, num_segments=1),
        dict(type='RunTokenMerging', before_block=3, num_segments=1, num_centers=3)]),
    'means': ('timesformer_space', [
        dict(type='SegmentMeanPooling', before_block=2, num_segments=2),
        dict(type='TokenShift', before_block=3)]),
    'UniFormerV2': ('uniformerv2', [test_uniformerv2.CENTERS]),
}
if 'mmpretrain' in HOSTS:
    CASES['mmpretrain'] = 'mmpretrain', [NECK]


@pytest.fixture
def retriever(retriever_cfg):
    """Build a toy with a host's tower, and a head."""

    def build(host, necks, head=None):
        cfg = retriever_cfg()
        if host == 'uniformerv2':
            tower = test_uniformerv2.build(
                necks, return_list=[1], n_layers=1, mlp_dropout=[0.5])
        else:
            tower = HOSTS[host].build(necks)
        cfg.update(head=head or cfg['head'])
        model = MODELS.build(cfg).eval()
        model.backbone, width = tower.eval(), model.text_backbone.embed_dims
        if tower.embed_dims != width:
            # A bias would hide the tiny features of toys.
            model.video_projection = torch.nn.Linear(
                tower.embed_dims, width, bias=False)
        return model

    return build


def write_videos(model, folder, *dynamic):
    """Write the file of a video tower, and return it, and what it must agree with."""
    encoder = VideoEncoder(model)
    onnx_export.write_part(encoder, str(folder / VIDEOS), dynamic, (
        FRAMES, FRAMES.new_ones(2, 8, dtype=torch.bool)))
    return Session(folder / VIDEOS), encoder


def assert_same(session, encoder, count, length=8):
    frames = torch.randint(256, (count, length, 3, 32, 32), dtype=torch.uint8)
    mask = torch.arange(length) < torch.tensor([[length], [5], [2]])[:count]
    got = session(frames=frames, frame_mask=mask)
    with torch.no_grad():
        expected = encoder(frames, mask)
    for key, x in zip(OUTPUTS[VIDEOS], expected):
        atol = 2e-5 * x.abs().max().item() if x.is_floating_point() else 0
        torch.testing.assert_close(got[key], x, rtol=0, atol=atol)


@pytest.mark.parametrize('name', CASES)
def test_towers(retriever, tmp_path, name):
    session, encoder = write_videos(retriever(*CASES[name]), tmp_path, 'batch')
    assert session.shapes['frames'] == ['batch', 8, 3, 32, 32]
    for count in 1, 3:
        assert_same(session, encoder, count)


def test_any_number_of_frames(retriever, tmp_path):
    model = retriever('clip', [
        dict(type='TokenShift', before_block=1),
        dict(NECK, num_centers=6)])
    check_any_frames(model)
    session, encoder = write_videos(model, tmp_path, 'batch', 'frames')
    assert session.shapes['frames'] == ['batch', 'frames', 3, 32, 32]
    for count, length in (3, 4), (1, 8), (3, 12):
        assert_same(session, encoder, count, length)
    # As torch does: 7 frames are no two segments, and 2 have fewer tokens than 6 each.
    for length in 7, 2:
        for run in encoder, lambda *x: session(frames=x[0], frame_mask=x[1]):
            with pytest.raises(InputError):
                run(FRAMES[:, :length], torch.ones(2, length, dtype=torch.bool))


def test_a_head_of_any_number_of_segments(retriever, tmp_path):
    encoder = HeadEncoder(retriever('clip', [], dict(
        type='SequentialTransformerHead', embed_dims=16, num_layers=1)))
    onnx_export.write_part(encoder, str(tmp_path / HEAD), ('batch', 'segments'), (
        torch.ones(2, 3, 16), torch.ones(2, 3, dtype=torch.bool)))
    session = Session(tmp_path / HEAD)
    for shape in (1, 1), (3, 5):
        segments, mask = torch.randn(*shape, 16), torch.rand(shape) > 0.5
        with torch.no_grad():
            expected = encoder(segments, mask)
        got = session(segments=segments, segment_mask=mask)['video']
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_weights_that_are_too_large_for_a_file(retriever, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, '_LARGEST_FILE', 0)
    encoder = HeadEncoder(retriever('clip', [], dict(
        type='SequentialTransformerHead', embed_dims=16, num_layers=1)))
    examples = torch.ones(2, 3, 16), torch.ones(2, 3, dtype=torch.bool)
    onnx_export.write_part(encoder, str(tmp_path / HEAD), ('batch', 'segments'),
                           examples)
    assert sorted(path.name for path in tmp_path.iterdir()) == [HEAD, f'{HEAD}.data']
    assert str(tmp_path).encode() not in (tmp_path / HEAD).read_bytes()
    Session(tmp_path / HEAD)(segments=examples[0], segment_mask=examples[1])


def test_float16(retriever, tmp_path):
    model = retriever('clip', [NECK])
    half = onnx_export.in_precision(model, 'float16')
    assert next(model.parameters()).dtype == torch.float32
    mask = torch.ones(2, 8, dtype=torch.bool)
    onnx_export.write_part(VideoEncoder(half), str(tmp_path / VIDEOS), ('batch', ),
                           (FRAMES, mask))
    frames = torch.randint_like(FRAMES, 256)
    got = Session(tmp_path / VIDEOS)(frames=frames, frame_mask=mask)['video']
    with torch.no_grad():
        expected = VideoEncoder(model)(frames, mask)[0]
    torch.testing.assert_close(got, expected, rtol=0, atol=0.02)
