import re

import av
import pytest

from mmaction_centerclip.annotations import read_own_captions, subtitles
from mmaction_centerclip.annotations.subtitles import read_subtitles
from mmaction_centerclip.errors import InputError, Problems

VTT = '''WEBVTT - of a film
Kind: captions
Language: en

STYLE
::cue(v) { color: lime }

REGION
id:fred

NOTE
not shown --
either

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Ann>Hello <i>you</i></v>
and <c.loud>me</c> &amp; them

in STYLE
00:00:02.500 --> 00:00:02.900
is a name

01:00:03.000\t-->\t01:00:04.000
x &lt; y&nbsp;<00:00:03.500>z

NOTE one line

00:05.000 --> 00:06.000
<i></i>

2
00:00:07.000 --> 00:00:08.000 line:90%
1984'''
TIMES = '00:00:01.000 --> 00:00:02.000'


def cues_of(path):
    with Problems() as problems:
        return [cue[1:] for cue in read_subtitles(str(path), problems)]


def ffmpeg_cues(path):
    """The cues as FFmpeg reads them, in order of time, without its overrides."""
    with av.open(str(path)) as container:
        cues = [(packet.pts / 1000, (packet.pts + packet.duration) / 1000,
                 b''.join(part.ass for part in packet.decode()).decode())
                for packet in container.demux(subtitles=0) if packet.pts is not None]
    texts = (' '.join(re.sub(r'\{.*?\}|\\[Nh]', lambda found: ' ' * (
        found[0][0] == '\\'), ass.split(',', 8)[-1]).split()) for *_, ass in cues)
    return [(*cue[:2], text) for cue, text in zip(cues, texts) if text]


@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('mark', ['', '\ufeff'])
def test_webvtt_is_read_as_players_do(end, mark, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(subtitles, 'warn', said.append)
    path = tmp_path / 'a.vtt'
    path.write_text(mark + VTT, encoding='utf-8', newline=end)
    found = cues_of(path)
    assert found == [
        (1, 2.5, 'Hello you and me & them'), (2.5, 2.9, 'is a name'),
        (3603, 3604, 'x < y z'), (7, 8, '1984')]
    assert 'dropped 1 subtitles' in said[0]
    path.write_text(VTT, encoding='utf-8')
    assert sorted(found) == sorted(ffmpeg_cues(path))


@pytest.mark.parametrize('content', ['', '1\n' + TIMES, 'WEBVTTT\n'])
def test_webvtt_begins_with_its_name(content, tmp_path):
    path = tmp_path / 'a.vtt'
    path.write_text(content)
    with pytest.raises(InputError, match='a.vtt, line 1: expected WEBVTT, got'):
        cues_of(path)


def test_a_first_subtitle_in_the_header_is_told(tmp_path):
    path = tmp_path / 'a.vtt'
    path.write_text(f'WEBVTT\n{TIMES}\nfirst\n\n00:03.000 --> 00:04.000\nsecond')
    with pytest.raises(InputError, match='line 2: expected a blank line between'):
        cues_of(path)


@pytest.mark.parametrize('content', [
    '1\n{}\n42\n\n2\n{}\n7\nmen\n', '1\n\n{}\n42\n\n2\n\n{}\n7\nmen\n\n3\n\n',
    '{}\n42\n2\n{}\n7\nmen\n\n3'])
@pytest.mark.parametrize('end', ['\n', '\r\r\n'])
def test_numbers_of_subtitles_are_no_text(content, end, tmp_path):
    path = tmp_path / 'a.srt'
    path.write_bytes(content.format(TIMES, TIMES).replace('\n', end).encode())
    assert [text for *_, text in cues_of(path)] == ['42', '7 men']


@pytest.fixture
def captions(tmp_path):
    """Read the captions beside films, of files that have their own name as a text."""
    (tmp_path / 'sub').mkdir()

    def read(videos, names, language=None):
        for name in videos:
            (tmp_path / name).write_bytes(b'a video')
        for name in names:
            (tmp_path / name).write_text(
                f'WEBVTT\n\n{TIMES}\n{name}\n' if name.lower().endswith('vtt')
                else f'{TIMES}\n{name}\n' if name.lower().endswith('srt') else name)
        entries, _ = read_own_captions(str(tmp_path), language=language)
        return {entry.video: entry.captions[0] for entry in entries}

    return read


@pytest.mark.parametrize('videos, names, language, expected', [
    ('a.mp4', 'a.srt', None, 'a.srt'), ('a.mp4', 'a.VTT', None, 'a.VTT'),
    ('a.mp4', 'a.en.srt a.txt', None, 'a.en.srt'),
    ('a.b.mp4 sub/a.mkv', 'a.b.pt-BR.vtt sub/a.pt-BR.srt', None,
     'a.b.pt-BR.vtt sub/a.pt-BR.srt'),
    ('a.mp4 a.de.mp4', 'a.en.srt a.de.srt', None, 'a.en.srt a.de.srt'),
    ('a.mp4', 'a.part2.srt a.txt', None, 'a.txt'),
    ('a.mp4', 'a.en.srt a.de.vtt', 'de', 'a.de.vtt'),
    ('a.mp4', 'a.en-GB.srt a.srt', 'EN', 'a.en-GB.srt'),
    ('a.mp4', 'a.en_GB.srt a.en.srt', 'en', 'a.en.srt'),
    ('a.mp4 b.mp4', 'a.de.srt a.srt b.srt', 'de', 'a.de.srt b.srt'),
    ('a.mp4 b.mp4', 'a.de.srt b.fr.srt b.txt', 'de', 'a.de.srt b.txt')])
def test_subtitles_with_a_language(videos, names, language, expected, captions):
    found = captions(videos.split(), names.split(), language)
    assert found == dict(zip(videos.split(), expected.split()))


def test_subtitles_of_no_video_are_told(captions, monkeypatch):
    said = []
    monkeypatch.setattr(subtitles, 'warn', said.append)
    assert captions(['a.mp4'], ['a.srt', 'a.en.sdh.srt']) == {'a.mp4': 'a.srt'}
    assert '1 files of subtitles are named as no video, such as a.en.sdh.srt' in said[0]


@pytest.mark.parametrize('videos, names, language, message', [
    ('a.mp4', 'a.en.srt a.de.vtt', None, r'a.mp4 has several files of subtitles, '
     r'.*a.de.vtt and .*a.en.srt; choose one with --language, such as en'),
    ('a.mp4', 'a.srt a.en.vtt', None, 'choose one with --language, such as en'),
    ('a.mp4', 'a.srt a.vtt', None, 'several .*; leave one there'),
    ('a.mp4', 'a.en.srt a.en.vtt', 'en', 'several .*; leave one there'),
    ('a.mp4', 'a.en-US.srt a.en-GB.srt', 'en', '--language, such as en-US'),
    ('a.mp4 b.mp4', 'a.en.srt b.de.srt', None, 'subtitles are of several languages, '
     r'en \(.*a.en.srt\), de \(.*b.de.srt\); choose one with --language'),
    ('a.mp4', 'a.en.srt', 'de', 'has no captions')])
def test_two_languages_are_never_mixed(videos, names, language, message, captions):
    with pytest.raises(InputError, match=message):
        captions(videos.split(), names.split(), language)
