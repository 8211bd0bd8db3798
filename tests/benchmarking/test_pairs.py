"""A model is measured beside the same without necks."""
import copy
import time
from functools import partial

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import (
    build_model,
    build_pair,
    clip_frames,
    encoding,
    frame_size,
    measure_pair,
    zoo_backbone,
)
from mmaction_centerclip.errors import InputError

from ..paths import CONFIGS

IMGS = dict(imgs=torch.rand(2, 8, 3, 64, 64))
TOWER = {'gmacs', 'mac_ratio', 'ms', 'twin_ms', 'time_ratio', 'mib', 'mib_ratio'}
VIDEOMAE = 'videomae/vit-tiny-p16-res64-b2-2-16_8x1x1_1xb72-20e_shapes-color-rgb.py'
CLIP = 'clip/clip-b6-4-160_vit-base-p16-res224-clip-pre_8xb8-8x32x1-15e_kinetics400' \
    '-rgb.py'
TIMM = dict(type='TimmVisionTower', img_size=64, embed_dim=32, depth=3, num_heads=2,
            num_classes=0)
TOME = dict(type='TokenMerging', before_block=[1, 2, 3], r=4)


@pytest.fixture(scope='module')
def pair(tiny_config):
    return build_pair(Config.fromfile(tiny_config))


def recogniser(name):
    return Config.fromfile(CONFIGS / 'recognition' / name)


def test_the_pair_has_the_same_weights(pair):
    model, twin = pair
    assert len(model.backbone.necks) == 1 and len(twin.backbone.necks) == 0
    expected = model.state_dict()
    assert all(torch.equal(x, expected[key]) for key, x in twin.state_dict().items())


def test_tower_evaluation_and_step(pair):
    before = [copy.deepcopy(model.state_dict()) for model in pair]
    figures = measure_pair(*pair, IMGS, ('step', 'tower', 'evaluation'), 2,
                           time.process_time)
    more = {'ms', 'twin_ms', 'ratio', 'mib', 'mib_ratio'}
    assert figures.keys() == TOWER | {
        f'{price}_{name}' for price in ('eval', 'step') for name in more}
    assert all(value > 0 for value in figures.values())
    assert figures['mac_ratio'] < 1 and figures['step_mib'] > figures['mib']
    # Both models are left as they were.
    assert not any(model.training for model in pair)
    for model, state in zip(pair, before):
        assert all(torch.equal(x, state[key]) for key, x in model.state_dict().items())


def test_ratios_are_of_the_same_turn(pair):
    """By a clock on which everything takes as long."""
    ticks = iter(range(1000))
    figures = measure_pair(*pair, IMGS, ('tower', 'step'), 3, lambda: next(ticks))
    assert figures['time_ratio'] == figures['step_ratio'] == 1
    assert figures['ms'] == figures['step_ms'] == 500  # a second, of two videos
    same = measure_pair(pair[1], pair[1], IMGS, repeats=1)
    assert same.keys() == TOWER and same['mac_ratio'] == same['mib_ratio'] == 1


@pytest.mark.slow
@torch._dynamo.config.patch(recompile_limit=2)
def test_compiled_towers_have_a_first_call_and_are_never_eager(pair):
    """As many shapes as torch compiles one function for, and more."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for videos in (1, 2):
        inputs = dict(imgs=torch.rand(videos, 8, 3, 64, 64))
        figures = measure_pair(*pair, inputs, repeats=1, backend=backend)
        assert len(graphs) == 2 * videos and figures['cold_ms'] > figures['ms']


def test_half_precision(pair):
    model, dtypes = copy.deepcopy(pair[0]), set()
    model.backbone.transformer.resblocks[0].mlp.c_fc.register_forward_hook(
        lambda module, args, output: dtypes.add(output.dtype))
    measure_pair(model, pair[1], IMGS, ('tower', 'evaluation', 'step'), 1,
                 dtype=torch.bfloat16)
    assert dtypes == {torch.bfloat16, torch.float32}  # MACs are counted in float32


def test_a_recogniser_beside_the_zoos_own(pair):
    cfg = recogniser(VIDEOMAE)
    model, twin = build_pair(cfg)
    zoo = zoo_backbone(cfg, twin)
    assert type(zoo).__name__ == 'VisionTransformer'
    assert clip_frames(cfg) == 8 and frame_size(cfg, model) == (64, 64)
    assert torch.equal(encoding(twin, IMGS)(), zoo(IMGS['imgs'].transpose(1, 2)))
    figures = measure_pair(model, twin, IMGS, repeats=1, zoo=zoo)
    assert figures.keys() == TOWER | {'zoo_ms', 'zoo_ratio'}
    with pytest.raises(InputError, match='of retrievers, got a Recognizer3D'):
        measure_pair(model, twin, IMGS, ('step', ))


def test_a_tower_of_clip_in_a_recogniser():
    cfg = recogniser(CLIP)
    cfg.model.backbone.tower.arch = dict(
        embed_dim=16, vision_cfg=dict(image_size=64, patch_size=16, width=32,
                                      head_width=16, layers=3),
        text_cfg=dict(context_length=16, width=32, heads=2, layers=1))
    cfg.model.backbone.tower.necks[0].update(before_block=3, num_centers=9)
    cfg.model.cls_head.in_channels = 16
    model, twin = build_pair(cfg)
    assert len(model.backbone.tower.necks) == 1 and not twin.backbone.tower.necks
    assert zoo_backbone(cfg, twin) is None and frame_size(cfg, model) == (64, 64)
    assert measure_pair(model, twin, IMGS, repeats=1)['mac_ratio'] < 1


def test_tome_in_a_tower_of_timm():
    """Three blocks of 17 tokens, which lose four each behind the attention."""
    cfg = Config(dict(model=dict(TIMM, necks=[TOME])))
    image = dict(imgs=torch.rand(2, 1, 3, 64, 64))
    figures = measure_pair(*build_pair(cfg), image, repeats=1)
    counts, width = [17, 13, 9, 5], 32
    macs = sum(4 * n * width**2 + 2 * n * n * width + 8 * m * width**2
               for n, m in zip(counts, counts[1:])) + 16 * 768 * width
    assert figures['gmacs'] * 1e9 == pytest.approx(macs, rel=.1)


def test_what_cannot_be_measured(pair, tiny_config):
    with pytest.raises(InputError, match="prices must be one of .*, got 'text'"):
        measure_pair(*pair, IMGS, ('text', ))
    with pytest.raises(InputError, match='repeats must be .*, got 0'):
        measure_pair(*pair, IMGS, repeats=0)
    for model, message in ((dict(TIMM), 'the model has no neck'),
                           (3, 'the config has no model')):
        with pytest.raises(InputError, match=message):
            build_pair(Config(dict(model=model)))
    with pytest.raises(InputError, match='takes frames of any size'):
        cfg = Config(dict(model=dict(TIMM, dynamic_img_size=True)))
        del cfg.model.img_size
        model = build_model(cfg)
        model.image_size = None
        frame_size(cfg, model)


@pytest.mark.parametrize('step, frames', [
    (dict(type='A', clip_len=8), 8), (dict(type='A', clip_len=8, num_clips=3), 24)])
def test_frames_are_those_of_the_test_pipeline(step, frames):
    dataset = dict(pipeline=[dict(type='B'), step])
    make = partial(dict, test_dataloader=dict(dataset=dataset))
    assert clip_frames(Config(make(model=dict(text_backbone=1)))) == frames
    assert clip_frames(Config(make(model=dict(cls_head=1)))) == 8
    del dataset['pipeline'][1]
    with pytest.raises(InputError, match='has a clip_len'):
        clip_frames(Config(make(model=dict())))
