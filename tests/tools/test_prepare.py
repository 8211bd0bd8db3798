import hashlib
import importlib.util
import json
import re
import runpy
import sys

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import Compose
from mmengine.config import Config

from ..paths import CONFIGS, SHARED, TOOLS


@pytest.fixture
def prepare(monkeypatch, capfd):
    """Run a tool in this process, which is faster; its status and words."""

    def run(name, *args):
        path = str(TOOLS / 'data' / name / f'prepare_{name}.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        status = 0
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as exit_:
            status = exit_.code
        said = ''.join(capfd.readouterr())
        # A text is what Python prints then, and the status is 1.
        return (1, said + status) if isinstance(status, str) else (status, said)

    return run


@pytest.fixture
def prepared(prepare, tmp_path):
    """Run a tool on a file of some content; the annotations that it writes."""

    def run(name, content, *options):
        source, out = tmp_path / 'source', tmp_path / 'new' / 'out.json'
        source.write_text(
            content if isinstance(content, str) else json.dumps(content))
        out.unlink(missing_ok=True)
        status, said = prepare(name, source, out, *options)
        assert status == 0 and f'{out}: ' in said
        assert [*out.parent.iterdir()] == [out]
        return json.loads(out.read_text())

    return run


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
    assert status == 2 and '--num-test must be positive, got 0' in said


@pytest.mark.parametrize('only_motion, digest, means', [
    (False, '2d9820f957043137', [119.780, 66.556]),
    (True, '64a3cb164cb72964', [51.991, 37.138])])
def test_shapes_are_those_of_earlier_versions(only_motion, digest, means):
    tool = runpy.run_path(str(TOOLS / 'data/shapes/prepare_shapes.py'))
    found, rendered = hashlib.sha256(), []
    for split in ('train', 'test'):
        for *texts, rng in tool['plan_videos'](split, 12, 0, only_motion):
            found.update(json.dumps(texts).encode())
            if len(rendered) < 2:
                frames = tool['render_video'](texts[1], rng, only_motion)
                rendered.append(frames.mean())
    assert found.hexdigest().startswith(digest)
    assert rendered == pytest.approx(means, abs=1e-2)


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
    """What is decoded of opposite motions is the same frames, turned round."""
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


LSMDC = 'a_00.1\t1\t2\t1\t2\tSOMEONE smiles.\nb\t1\t2\t1\t2\tHe "runs".\n'
ACTIVITYNET = dict(
    v_a=dict(duration=9, timestamps=[[4, 9], [0, 5]],
             sentences=[' Then he sits.', 'A man stands.']))
DIDEMO = [
    dict(video='b.mov', description='camera pans left', times=[[0, 1]]),
    dict(video='a.avi', description='a dog runs. ', times=[[2, 2]]),
    dict(video='b.mov', description='a car drives by', times=[[4, 4]])]
MSRVTT = dict(
    videos=[dict(video_id='video1', split='train'),
            dict(video_id='video9', split='test'),
            dict(video_id='video8', split='test')],
    sentences=[dict(sen_id=i, video_id=v, caption=f'caption {i}') for i, v in
               enumerate(('video8', 'video9', 'video1', 'video8'))])


@pytest.mark.parametrize('name, content, options, expected', [
    ('lsmdc', LSMDC, [],
     {'a_00.1.avi': ['SOMEONE smiles.'], 'b.avi': ['He "runs".']}),
    ('activitynet', ACTIVITYNET, [],
     {'v_a.mp4': ['A man stands. Then he sits.']}),
    ('didemo', DIDEMO, [], {'b.mov': ['camera pans left a car drives by'],
                            'a.avi': ['a dog runs.']}),
    ('didemo', DIDEMO, ['--suffix', '.mp4'],
     {'b.mp4': ['camera pans left a car drives by'],
      'a.mp4': ['a dog runs.']}),
    ('msrvtt_full', MSRVTT, [],
     {'video9.mp4': ['caption 1'], 'video8.mp4': ['caption 0', 'caption 3']}),
    ('msrvtt_full', MSRVTT, ['--split', 'train', '--suffix', '.avi'],
     {'video1.avi': ['caption 2']}),
])
def test_annotations(name, content, options, expected, prepared):
    written = prepared(name, content, *options)
    assert written == expected and [*written] == [*expected]


@pytest.mark.parametrize('name, content, options, message', [
    ('lsmdc', 'a,b\n', [],
     'source, line 1: expected 6 fields separated by tabs, got 1'),
    ('activitynet', '[1]', [], 'source must map videos to their timestamps'),
    ('activitynet', 'a\tb', [], 'source is not JSON'),
    ('didemo', '{"a": 1}', [], 'source must be a list of annotations'),
    ('msrvtt_full', '[]', [], 'source must have videos with a video_id'),
    ('msrvtt_full', json.dumps(MSRVTT), ['--split', 'validate'],
     "source has no video of the split 'validate'"),
    *((name, None, [], 'annotation file not found: .*source')
      for name in ('lsmdc', 'activitynet', 'didemo', 'msrvtt_full')),
])
def test_bad_files_are_named(name, content, options, message, prepare, tmp_path):
    source, out = tmp_path / 'source', tmp_path / 'out.json'
    if content is not None:
        source.write_text(content)
    status, said = prepare(name, source, out, *options)
    assert status == 1 and re.search(f'^error: .*{message}', said, re.M)
    assert not out.exists()


@pytest.mark.parametrize('name, content', [
    ('lsmdc', LSMDC), ('activitynet', json.dumps(ACTIVITYNET)),
    ('didemo', json.dumps(DIDEMO)), ('msrvtt_full', json.dumps(MSRVTT))])
def test_annotations_are_never_overwritten(name, content, prepare, tmp_path):
    source, out = tmp_path / 'source', tmp_path / 'out.json'
    source.write_text(content)
    out.write_text('mine')
    status, said = prepare(name, source, out)
    assert status == 1 and f'error: {out} exists already' in said
    assert out.read_text() == 'mine'


@pytest.mark.parametrize('name, file, count', [
    ('lsmdc', 'lsmdc/LSMDC16_challenge_1000_publictect.csv', 1000),
    ('activitynet', 'activitynet/val_1.json', 4917)])
def test_the_real_lists(name, file, count, prepare, tmp_path):
    source = SHARED / 'annotations' / file
    if not source.is_file():
        pytest.skip('no real annotations beside the checkout')
    prepare(name, source, tmp_path / 'out.json')
    assert len(json.loads((tmp_path / 'out.json').read_text())) == count
