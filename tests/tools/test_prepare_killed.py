"""Annotations that are prepared, whatever interrupts it."""
import json
import shutil

import pytest

from mmaction_centerclip.datasets import read_entries

from ..datasets.clips import h264, write_clip
from ..processes import kill_at_random

NAMES = [f'video{i}' for i in range(60)]


def own(folder):
    """Videos, and a table of their captions."""
    (folder / 'videos').mkdir()
    write_clip(folder / 'first.mp4', **h264())
    for name in NAMES:
        shutil.copy(folder / 'first.mp4', folder / 'videos' / f'{name}.mp4')
    rows = [f'{name}.mp4,caption {i} of {name}' for i in range(300) for name in NAMES]
    (folder / 'captions.csv').write_text('\n'.join(['video,caption', *rows]))
    return [folder / 'videos', folder / 'captions.csv']


def msrvtt(folder):
    """MSR-VTT's files, of fewer videos with more captions."""
    parts = ['train', 'validate', 'test']
    content = dict(
        videos=[dict(video_id=name, split=parts[i % 3])
                for i, name in enumerate(NAMES)],
        sentences=[dict(video_id=name, caption=f'caption {i} of {name}')
                   for i in range(300) for name in NAMES])
    (folder / 'MSRVTT_data.json').write_text(json.dumps(content))
    for split, names in (('9k', NAMES[:50]), ('7k', NAMES[:40])):
        (folder / f'MSRVTT_train.{split}.csv').write_text(
            '\n'.join(['video_id', *names]))
    (folder / 'MSRVTT_JSFUSION_test.csv').write_text('\n'.join(
        ['key,vid_key,video_id,sentence',
         *(f'ret{i},msr{i},{name},a caption' for i, name in enumerate(NAMES[50:]))]))
    return [folder, '--any-count']


@pytest.mark.slow
@pytest.mark.parametrize('name, publish, files', [('own', own, 2),
                                                  ('msrvtt', msrvtt, 6)])
def test_preparing_is_killed_at_any_moment(name, publish, files, tmp_path, run_tool):
    script, args = f'data/{name}/prepare_{name}.py', publish(tmp_path)
    out, seen = tmp_path / 'out', []
    run_tool(script, *args, '--out', tmp_path / 'expected')
    expected = {path.name: path.read_bytes()
                for path in (tmp_path / 'expected').iterdir()}
    assert len(expected) == files

    def check():
        found = list(out.glob('*.json'))
        seen.append(len(found))
        for path in found:
            assert path.read_bytes() == expected[path.name]

    kill_at_random(script, [*args, '--out', out], 10, check,
                   lambda: shutil.rmtree(out, ignore_errors=True),
                   # Of those that are written, too.
                   lambda: len(list(out.glob('*.json*'))), files)
    assert len(set(seen)) > 1
    said = run_tool(script, *args, '--out', out)
    found = {path.name: path.read_bytes() for path in out.glob('*.json')}
    assert found == expected, said
    assert len(read_entries(str(out / 'train.json' if name == 'own' else
                                out / 'train_9k.json'))) > 40
