import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmcv.transforms import Compose
from mmengine.config import Config

from ..paths import CONFIGS, SHARED, TOOLS


def prepare(name, *args):
    return subprocess.run(
        [sys.executable, TOOLS / 'data' / name / f'prepare_{name}.py',
         *map(str, args)], capture_output=True, text=True)


def test_shapes_are_the_same_each_time_and_never_overwritten(tmp_path):
    options = ['--num-train', 3, '--num-test', 4]
    for folder in ('a', 'b'):
        assert not prepare('shapes', '--out', tmp_path / folder,
                           *options).returncode
    names = sorted(p.name for p in (tmp_path / 'a/videos').iterdir())
    assert len(names) == 7
    for name in ('train.json', 'test.json', *(f'videos/{n}' for n in names)):
        assert (tmp_path / 'a' / name).read_bytes() == (
            tmp_path / 'b' / name).read_bytes()
    before = (tmp_path / 'a/test.json').stat().st_mtime_ns
    again = prepare('shapes', '--out', tmp_path / 'a', *options)
    assert 'nothing to do' in again.stdout
    assert (tmp_path / 'a/test.json').stat().st_mtime_ns == before
    other = prepare('shapes', '--out', tmp_path / 'a', '--num-train', 9)
    assert other.returncode == 1 and 'holds other data' in other.stderr
    bad = prepare('shapes', '--num-test', 0)
    assert '--num-test must be positive, got 0' in bad.stderr


def test_shapes_test_captions_tell_their_video(shapes):
    captions = json.loads((shapes / 'test.json').read_text())
    assert sum(len(texts) >= 3 for texts in captions.values()) == 3
    texts = [text for texts in captions.values() for text in texts]
    assert len(set(texts)) == len(texts)


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


def test_lsmdc(tmp_path):
    (tmp_path / 'list.csv').write_text(
        'a_00.1\t1\t2\t1\t2\tSOMEONE smiles.\nb\t1\t2\t1\t2\tHe "runs".\n')
    out = tmp_path / 'out.json'
    prepare('lsmdc', tmp_path / 'list.csv', out)
    assert json.loads(out.read_text()) == {
        'a_00.1.avi': ['SOMEONE smiles.'], 'b.avi': ['He "runs".']}
    again = prepare('lsmdc', tmp_path / 'list.csv', out)
    assert 'exists already' in again.stderr
    (tmp_path / 'list.csv').write_text('a,b\n')
    bad = prepare('lsmdc', tmp_path / 'list.csv', tmp_path / 'other.json')
    assert 'line 1: expected 6 fields separated by tabs, got 1' in bad.stderr


def test_activitynet(tmp_path):
    (tmp_path / 'train.json').write_text(json.dumps(dict(
        v_a=dict(duration=9, timestamps=[[4, 9], [0, 5]],
                 sentences=[' Then he sits.', 'A man stands.']))))
    out = tmp_path / 'new' / 'out.json'
    prepare('activitynet', tmp_path / 'train.json', out)
    assert json.loads(out.read_text()) == {
        'v_a.mp4': ['A man stands. Then he sits.']}
    (tmp_path / 'train.json').write_text('[1]')
    bad = prepare('activitynet', tmp_path / 'train.json', tmp_path / 'x.json')
    assert 'must map videos to their timestamps' in bad.stderr


def test_didemo(tmp_path):
    source = tmp_path / 'test_data.json'
    source.write_text(json.dumps([
        dict(video='b.mov', description='camera pans left', times=[[0, 1]]),
        dict(video='a.avi', description='a dog runs. ', times=[[2, 2]]),
        dict(video='b.mov', description='a car drives by', times=[[4, 4]])]))
    out = tmp_path / 'new' / 'out.json'
    prepare('didemo', source, out)
    assert json.loads(out.read_text()) == {
        'b.mov': ['camera pans left a car drives by'], 'a.avi': ['a dog runs.']}
    assert 'exists already' in prepare('didemo', source, out).stderr
    prepare('didemo', source, tmp_path / 'mp4.json', '--suffix', '.mp4')
    assert [*json.loads((tmp_path / 'mp4.json').read_text())] == ['b.mp4', 'a.mp4']
    source.write_text('{"a": 1}')
    bad = prepare('didemo', source, tmp_path / 'other.json')
    assert 'must be a list of annotations' in bad.stderr


def test_msrvtt_full(tmp_path):
    source = tmp_path / 'MSRVTT_data.json'
    source.write_text(json.dumps(dict(
        videos=[dict(video_id='video1', split='train'),
                dict(video_id='video9', split='test'),
                dict(video_id='video8', split='test')],
        sentences=[dict(sen_id=i, video_id=v, caption=f'caption {i}')
                   for i, v in enumerate(('video8', 'video9', 'video1', 'video8'))])))
    out = tmp_path / 'new' / 'test_full.json'
    prepare('msrvtt_full', source, out)
    assert json.loads(out.read_text()) == {
        'video9.mp4': ['caption 1'], 'video8.mp4': ['caption 0', 'caption 3']}
    assert 'exists already' in prepare('msrvtt_full', source, out).stderr
    bad = prepare('msrvtt_full', source, tmp_path / 'x', '--split', 'validate')
    assert "has no video of the split 'validate'" in bad.stderr
    source.write_text('[]')
    bad = prepare('msrvtt_full', source, tmp_path / 'x')
    assert 'must have videos with a video_id' in bad.stderr


def test_the_real_lists(tmp_path):
    if not (SHARED / 'annotations').is_dir():
        pytest.skip('no real annotations beside the checkout')
    lsmdc = SHARED / 'annotations/lsmdc/LSMDC16_challenge_1000_publictect.csv'
    prepare('lsmdc', lsmdc, tmp_path / 'lsmdc.json')
    assert len(json.loads((tmp_path / 'lsmdc.json').read_text())) == 1000
    source = SHARED / 'annotations/activitynet/val_1.json'
    prepare('activitynet', source, tmp_path / 'anet.json')
    assert len(json.loads((tmp_path / 'anet.json').read_text())) == 4917
