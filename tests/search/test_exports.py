"""Files for other programs are read by those, or have the form that is published."""
from fractions import Fraction

import av
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit
from mmaction_centerclip.search.exports import export_hits, format_hits

from .films import write_film

TITLE = 'a = b; #c\n\\d'


@pytest.fixture
def hits(tmp_path):
    path = str(write_film(tmp_path / 'a.mp4', [9], Fraction(30000, 1001)))
    return [Hit(path, 3661.5, 3662.0004, .5), Hit(path, .5, 2., .25)]


def test_chapters_are_called_by_the_query(hits, tmp_path):
    export_hits(hits, tmp_path / 'a.txt', TITLE)
    with av.open(str(tmp_path / 'a.txt'), format='ffmetadata') as file:
        chapters = file.chapters()
    assert [(x['start'], x['end'], x['metadata']) for x in chapters] == [
        (500, 2000, dict(title='a = b; #c \\d')),
        (3661500, 3662000, dict(title='a = b; #c \\d'))]


def test_subtitles(hits, tmp_path):
    export_hits(hits, tmp_path / 'a.srt', TITLE)
    with av.open(str(tmp_path / 'a.srt')) as file:
        packets = [packet for packet in file.demux() if packet.size]
        assert [(float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p))
                for p in packets] == [(.5, 1.5, b'a = b; #c \\d'),
                                      (3661.5, .5, b'a = b; #c \\d')]


def test_edit_list(hits):
    """By hand: of 29.97 frames a second 109735 are before 3661.5 s, 30 a "second"."""
    assert format_hits(hits, '.edl', 'a\nb') == '''TITLE: a b
FCM: NON-DROP FRAME

001  AX       V     C        01:00:57:25 01:00:58:10 00:00:00:00 00:00:00:15
* FROM CLIP NAME: a.mp4

002  AX       V     C        00:00:00:15 00:00:02:00 00:00:00:15 00:00:02:00
* FROM CLIP NAME: a.mp4
'''


def test_names_of_others(hits):
    table = format_hits(hits, '.csv', name=lambda hit: 'films/x,y.mp4')
    assert table.splitlines()[1] == '"films/x,y.mp4",3661.500,3662.000,0.5000'


@pytest.mark.parametrize('kind, others, message', [
    ('.txt', ['b.mp4'], 'of one video, got moments of 2; filter them by file'),
    ('.srt', ['b.mp4'], 'of one video, got moments of 2'),
    ('.edl', None, 'needs a moment, got none')])
def test_what_cannot_be_exported(hits, kind, others, message):
    hits = [] if others is None else hits + [Hit(x, 0, 1, 0.) for x in others]
    with pytest.raises(InputError, match=message):
        format_hits(hits, kind)
