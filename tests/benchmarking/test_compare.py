import importlib.util
import time

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import (
    benchmark_pair,
    build_mmaction2,
    build_pair,
    read_frames,
    video_files,
)
from mmaction_centerclip.datasets.transforms import DecodingError
from mmaction_centerclip.errors import InputError

from ..datasets.clips import CLIPS, FRAMES, write_clip
from ..reference import openai_clip


@pytest.fixture
def pair(tiny_config):
    return build_pair(Config.fromfile(tiny_config))


def test_the_pair_has_the_same_weights(pair):
    model, unclustered = pair
    assert len(model.backbone.necks) == 1 and len(unclustered.backbone.necks) == 0
    expected = model.state_dict()
    for key, value in unclustered.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_bfloat16_and_compiled(pair, monkeypatch):
    compiled, dtypes = [], []
    monkeypatch.setattr(torch, 'compile',
                        lambda encode, backend: compiled.append(encode) or encode)
    for model in pair:
        model.backbone.transformer.resblocks[0].mlp.c_fc.register_forward_hook(
            lambda module, args, output: dtypes.append(output.dtype))
    row = benchmark_pair(*pair, torch.randn(1, 8, 3, 64, 64), torch.bfloat16,
                         compile=True, repeats=1)
    assert compiled == [model.encode_video for model in pair]
    assert torch.bfloat16 in dtypes
    assert 'clustered/step_ms' not in row and 'times_mmaction2' not in row


def test_an_evaluation_and_each_necks_share(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks.insert(0, dict(
        type='RandomTokenDrop', before_block=2, num_segments=4, num_centers=32))
    pair, calls = build_pair(cfg), []
    for model in pair:
        encode = model.text_backbone.forward
        model.text_backbone.forward = lambda text, encode=encode: calls.append(
            len(text)) or encode(text)
    alone = Turns()
    row = benchmark_pair(*pair, torch.randn(3, 8, 3, 64, 64), repeats=2,
                         evaluation=True, clock=time.process_time, alone=alone)
    assert calls == [3] * 2 * (2 + 2)  # first and second calls, and two that count
    assert alone.entered == alone.left == 3  # towers, evaluations and shares
    assert row['clustered/eval_cold_ms'] > 0 < row['clustered/cold_ms']
    assert row['eval_ms_ratio'] == pytest.approx(
        row['clustered/eval_ms'] / row['unclustered/eval_ms'])
    shares = {name: share for name, share in row.items() if name.startswith('share/')}
    assert list(shares) == ['share/1 RandomTokenDrop', 'share/2 TokenClustering']
    assert max(shares.values()) <= row['clustering_share'] < 1


class Turns:
    """Count how often it is entered and left."""
    entered = left = 0

    def __enter__(self):
        self.entered += 1

    def __exit__(self, *error):
        self.left += 1


@pytest.mark.slow
@torch._dynamo.config.patch(recompile_limit=2)
def test_no_compiled_tower_is_eager_for_torchs_limit(pair):
    """Of as many shapes as torch compiles one function for, and more."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    for videos in (1, 2):
        row = benchmark_pair(*pair, torch.randn(videos, 8, 3, 64, 64), compile=True,
                             repeats=1, backend=backend)
        assert len(compiled) == 2 * videos
        assert row['clustered/cold_ms'] > row['clustered/ms']  # compiling included
        assert 'encode_video' not in vars(pair[0])


@pytest.mark.slow
def test_mmaction2s_model_runs_beside_them(pair, monkeypatch):
    if importlib.util.find_spec('clip') is None:
        openai_clip.install(monkeypatch, image_size=64)
    mmaction2 = build_mmaction2()
    assert type(mmaction2).__module__.startswith('mmaction.')
    assert {p.dtype for p in mmaction2.parameters()} == {torch.float32}
    size = 64 if mmaction2.clip.visual.conv1.out_channels == 64 else 224
    if size == 224:
        pytest.skip('the real ViT-B/32 takes other frames than the tiny config')
    imgs = torch.randn(2, 8, 3, size, size)
    dtypes = []
    mmaction2.clip.visual.conv1.register_forward_hook(
        lambda module, args, output: dtypes.append(output.dtype))
    row = benchmark_pair(*pair, imgs, torch.bfloat16, repeats=1, train_imgs=imgs,
                         mmaction2=mmaction2)
    assert set(dtypes) == {torch.float32}  # as it ships
    for ratio, key in (('times_mmaction2', 'ms'), ('step_times_mmaction2', 'step_ms')):
        assert row[ratio] == pytest.approx(
            row[f'mmaction2/{key}'] / row[f'clustered/{key}'])
    # Four patches of 32 x 32 x 3, a class token, one block of width 64, and the
    # projection: of each of eight frames.
    tokens, width = 5, 64
    block = tokens * 12 * width**2 + 2 * tokens**2 * width
    frame = 4 * 3072 * width + block + width * 512
    assert row['mmaction2/gmacs'] == pytest.approx(8 * frame / 1e9)


@pytest.mark.skipif(importlib.util.find_spec('clip') is not None,
                    reason='openai-clip is here')
def test_mmaction2s_model_asks_for_its_package():
    with pytest.raises(InputError, match='openai-clip, which cannot'):
        build_mmaction2()


@torch.no_grad()
def test_mmaction2s_model_with_its_own_package():
    pytest.importorskip('clip')
    features = build_mmaction2().encode_video(torch.randn(1, 2, 3, 224, 224))
    assert features.shape == (1, 512)


def test_a_config_without_necks_is_refused(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks = []
    with pytest.raises(InputError, match='tiny.py: the model has no neck'):
        build_pair(cfg)


def test_frames_are_those_of_the_clips_in_turn(shapes, tmp_path):
    files = video_files(shapes / 'videos')
    assert len(files) == 33 and files == sorted(files)
    imgs = read_frames(shapes / 'videos', 35, 4, 64)
    assert imgs.shape == (35, 4, 3, 64, 64) and imgs.dtype == torch.float32
    # Normalised, black is -1.79 and white is 2.15 in every channel or more.
    assert -1.8 < imgs.min() and imgs.max() < 2.2
    # The second time round a clip starts later, and ends as before.
    assert not torch.equal(imgs[33], imgs[0])
    assert torch.equal(imgs[33, -1], imgs[0, -1])
    with pytest.raises(InputError, match='no video file'):
        read_frames(tmp_path, 1, 8, 64)


def test_frames_are_those_asked_for_and_errors_name_the_file(tmp_path):
    # Of which decord gives others.
    write_clip(tmp_path / 'a.avi', **CLIPS['h264_p.avi'])
    imgs = read_frames(tmp_path, 1, 3, 32)
    levels = imgs.mean(dim=(3, 4)) * torch.tensor([68.500, 66.632, 70.323])
    levels = (levels + torch.tensor([122.771, 116.746, 104.093])).mean(dim=2) - 20
    assert (levels - torch.tensor([0., 29, FRAMES - 1])).abs().max() <= 2
    (tmp_path / 'a.avi').write_text('no video')
    with pytest.raises(DecodingError, match='a.avi: cannot be decoded'):
        read_frames(tmp_path, 1, 3, 32)
