"""A file tells its facts, and that it was cut off."""
import shutil

import pytest

from mmaction_centerclip.datasets.doctor.videos import (
    find_decoders,
    guess_kind,
    probe_file,
)

from ...paths import SHARED
from ..clips import CLIPS, FRAMES, write_clip

WHOLE = ['h264.mp4', 'faststart.mp4', 'fragmented.mp4', 'open_gop.mp4', 'uneven.mp4',
         'late.mp4', 'h264.avi', 'mpeg4.avi', 'mjpeg.avi', 'h264.mkv', 'vp9.webm',
         'av1.mp4', 'h264.flv', 'h264.ts', 'mpeg1.mpg', 'gif.gif', 'wmv2.wmv']


@pytest.mark.parametrize('name', WHOLE)
def test_a_whole_file_is_not_cut_off(name, tmp_path):
    path = write_clip(tmp_path / name, **CLIPS[name])
    facts = probe_file(str(path))
    assert facts['cut_off'] is None
    assert (facts['width'], facts['height']) == (96, 64)
    assert facts['packets'] in range(FRAMES - 1, FRAMES + 2)
    if 'uneven' not in name and name != 'late.mp4':
        assert facts['rate'] == pytest.approx(25, abs=.1)
        assert facts['duration'] == pytest.approx(FRAMES / 25, abs=.5)


# The first 40% of a small file are nothing but its index.
@pytest.mark.parametrize('name, part', [
    ('faststart.mp4', .7), ('faststart.mp4', .95), ('fragmented.mp4', .5),
    ('h264.avi', .7), ('h264.avi', .95), ('mpeg4.avi', .4), ('mpeg4.avi', .95),
    ('mjpeg.avi', .95),
    *((name, part) for name in ('h264.mkv', 'gif.gif', 'h264.flv', 'vp9.webm')
      for part in (.5, .7, .95, .999) if (name, part) != ('h264.flv', .999))])
def test_a_file_that_was_cut_off(name, part, tmp_path):
    path = write_clip(tmp_path / name, **CLIPS[name])
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * part)])
    assert probe_file(str(path))['cut_off']


@pytest.mark.parametrize('folder', ['videos', 'trials/videos'])
def test_real_files_are_whole(folder):
    paths = [path for path in (SHARED / folder).glob('*') if path.suffix != '.md']
    if not paths:
        pytest.skip('no real videos beside the checkout')
    for path in paths:
        facts = probe_file(str(path))
        assert facts['cut_off'] is None, path
        assert facts['codec'] and facts['rate'] and facts['duration'], path


@pytest.mark.parametrize('content, kind', [
    (b'this is not a video\n' * 40, 'a text'),
    (b'\n<!DOCTYPE html><p>', 'a page of HTML'),
    (b'PK\3\4aaaa', 'a zip archive'), (bytes(100), 'nothing but zeros'),
    (b'\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08mdat',
     'an MP4 without its whole index, cut off'),
    (b'\x80\x91\xfe\0\1' * 9, None)])
def test_kinds(content, kind, tmp_path):
    (tmp_path / 'a.mp4').write_bytes(content)
    assert guess_kind(str(tmp_path / 'a.mp4')) == kind
    assert 'packets' not in probe_file(str(tmp_path / 'a.mp4'))
    assert find_decoders(str(tmp_path / 'a.mp4')) == []


def test_an_mp4_with_its_index_is_no_kind(tmp_path):
    path = write_clip(tmp_path / 'h264.mp4', **CLIPS['h264.mp4'])
    assert guess_kind(str(path)) is None
    assert find_decoders(str(path)) == ['VideoInit', 'decord', 'OpenCV']
    shutil.copy(path, tmp_path / 'renamed.txt')
    assert guess_kind(str(tmp_path / 'renamed.txt')) is None
