"""Decoding is timed beside decord, and the frames are compared."""
import runpy
import sys

from ..datasets.clips import CLIPS, write_clip
from ..paths import TOOLS


def test_table(tmp_path, monkeypatch, capsys):
    names = ('h264.mp4', 'h264_p.avi')
    paths = [write_clip(tmp_path / name, **CLIPS[name]) for name in names]
    monkeypatch.setattr(sys, 'argv', ['', *map(str, paths), '--repeats', '2'])
    runpy.run_path(str(TOOLS / 'analysis_tools/benchmark_decoding.py'),
                   run_name='__main__')
    title, *rows = capsys.readouterr().out.splitlines()
    assert title.split()[:3] == ['video', 'decord,', 'ms']
    for row, name, differ in zip(rows, names, (False, True)):
        video, theirs, ours, ratio, count, *_ = row.split()
        assert video == name and float(theirs) > 0 and float(ours) > 0
        assert abs(float(ours) / float(theirs) - float(ratio)) < .1
        assert (int(count) > 0) == differ
