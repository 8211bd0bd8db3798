import hashlib
import importlib.util
import json
import runpy

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import Compose
from mmengine.config import Config

from ..paths import CONFIGS, TOOLS


def test_shapes_are_the_same_each_time_and_never_overwritten(prepare, tmp_path):
    options = ['--num-train', 3, '--num-test', 4]
    for folder in ('a', 'b'):
        assert prepare('shapes', '--out', tmp_path / folder, *options)[0] == 0
    names = sorted(p.name for p in (tmp_path / 'a/videos').iterdir())
    assert len(names) == 7
    for name in ('train.json', 'test.json', *(f'videos/{n}' for n in names)):
        assert (tmp_path / 'a' / name).read_bytes() == (
            tmp_path / 'b' / name).read_bytes()
    before = (tmp_path / 'a/test.json').stat().st_mtime_ns
    status, said = prepare('shapes', '--out', tmp_path / 'a', *options)
    assert status == 0 and 'nothing to do' in said
    assert (tmp_path / 'a/test.json').stat().st_mtime_ns == before
    status, said = prepare('shapes', '--out', tmp_path / 'a', '--num-train', 9)
    assert status == 1 and 'holds other data' in said
    status, said = prepare('shapes', '--num-test', 0)
    assert status == 2 and '--num-test: must be positive, got 0' in said


@pytest.mark.parametrize('only_motion, hard, digest, means', [
    (False, False, '2d9820f957043137', [119.780, 66.556]),
    (True, False, '64a3cb164cb72964', [51.991, 37.138]),
    (False, True, 'a444cb294e3141d3', [120.147, 64.710])])
def test_shapes_are_those_of_earlier_versions(only_motion, hard, digest, means):
    tool = runpy.run_path(str(TOOLS / 'data/shapes/prepare_shapes.py'))
    found, rendered = hashlib.sha256(), []
    for split in ('train', 'test'):
        for *texts, rng in tool['plan_videos'](split, 12, 0, only_motion, hard):
            found.update(json.dumps(texts).encode())
            if len(rendered) < 2:
                frames = tool['render_video'](texts[1], rng, only_motion)
                rendered.append(frames.mean())
    assert found.hexdigest().startswith(digest)
    assert rendered == pytest.approx(means, abs=1e-2)


def test_moving_and_long_shapes_tell_the_same():
    """Their captions are alike: a camera pans, or most of a video is empty."""
    tool = runpy.run_path(str(TOOLS / 'data/shapes/prepare_shapes.py'))
    changes = {}
    for kind, count in dict(hard=32, moving=32, long=120).items():
        *_, (_, attributes, _, rng) = tool['plan_videos']('test', 3, 0, False, True)
        frames = tool['render_video'](attributes, rng, False, kind).astype(int)
        assert frames.shape == (count, 64, 64, 3)
        changes[kind] = np.abs(np.diff(frames, axis=0)).max(axis=-1) > 60
    by_frame = changes['long'].any(axis=(1, 2))
    shown, = by_frame.nonzero()
    assert 12 < by_frame.sum() <= shown[-1] - shown[0] + 1 <= 25
    assert changes['moving'].mean() > 1.5 * changes['hard'].mean()


def test_hard_shapes_have_more_to_tell():
    tool = runpy.run_path(str(TOOLS / 'data/shapes/prepare_shapes.py'))
    planned = tool['plan_videos']('test', 600, 0, False, hard=True)
    facts = [attributes for _, attributes, _, _ in planned]
    captions = [text for _, _, texts, _ in planned for text in texts]
    assert len(captions) == len(set(captions)) == 1108
    for name, values in dict(motion=tool['LABELS']['motion'], time=tool['HARD_TIMES'],
                             side=tool['SIDES']).items():
        assert {fact[name] for fact in facts} == set(values)
        assert all(fact[name] in text for _, fact, texts, _ in planned
                   for text in texts)
    _, attributes, _, _ = planned[0]
    frames = [tool['render_video'](dict(attributes, side=side, color='white',
                                        color2='white', shape2='circle', time='start'),
                                   np.random.default_rng(1)).astype(float)
              for side in tool['SIDES']]
    assert frames[0].shape == (32, 64, 64, 3)
    moved = abs(frames[0] - frames[1]).max(axis=(1, 2, 3))
    assert (moved[:11] > 50).all() and (moved[11:] == 0).all()


def test_shapes_test_captions_tell_their_video(shapes):
    captions = json.loads((shapes / 'test.json').read_text())
    assert sum(len(texts) >= 3 for texts in captions.values()) == 3
    texts = [text for texts in captions.values() for text in texts]
    assert len(set(texts)) == len(texts)


def test_shapes_labels_are_what_the_captions_tell(prepare, tmp_path):
    options = ['--out', tmp_path / 'a', '--num-train', 3, '--num-test', 4]
    assert prepare('shapes', *options)[0] == 0
    tool = runpy.run_path(str(TOOLS / 'data/shapes/prepare_shapes.py'))
    for split in ('train', 'test'):
        captions = json.loads((tmp_path / f'a/{split}.json').read_text())
        for name, classes in tool['LABELS'].items():
            path = tmp_path / f'a/{split}_{name}.txt'
            lines = [line.split() for line in path.read_text().splitlines()]
            assert [file for file, _ in lines] == list(captions)
            for file, label in lines:
                assert all(classes[int(label)] in text for text in captions[file])
    written = path.read_text()
    path.unlink()  # As in a folder of an earlier version.
    assert prepare('shapes', *options)[0] == 0
    assert path.read_text() == written


@pytest.mark.parametrize('directions', [('left', 'right'), ('up', 'down')])
def test_motion_is_nothing_but_an_order_of_frames(directions, tmp_path,
                                                  monkeypatch):
    """Opposite motions decode to the same frames, turned round."""
    path = TOOLS / 'data' / 'shapes' / 'prepare_shapes.py'
    spec = importlib.util.spec_from_file_location('prepare_shapes', path)
    shapes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shapes)
    monkeypatch.setattr(shapes, 'NOISE', 0)
    config = Config.fromfile(CONFIGS / '_base_/datasets/shapes-motion.py')
    pipeline = Compose([
        TRANSFORMS.build(step) for step in config.test_pipeline
        if step['type'] not in ('OpenCLIPTokenize', 'PackActionInputs')])

    frames = []
    for direction in directions:
        attributes = shapes.draw_attributes(np.random.default_rng(3), True)
        rendered = shapes.render_video(
            dict(attributes, motion=direction), np.random.default_rng(4), True)
        file = tmp_path / f'{direction}.avi'
        shapes.write_video(file, rendered)
        results = pipeline(dict(filename=str(file), start_index=0))
        frames.append(torch.as_tensor(results['imgs']))
    assert len(frames[0]) == 4
    assert torch.equal(frames[0], frames[1].flip(0))
    assert not torch.equal(frames[0], frames[1])
