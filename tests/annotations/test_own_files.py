"""Captions as people have them: what spreadsheets write, and what is wrong with it."""
import codecs
import json

import pytest

from mmaction_centerclip.annotations import read_own_captions
from mmaction_centerclip.errors import InputError, InputErrors

ROWS = [('0.mp4', 'ein Bär', '0,5', '1,25'), ('1.mp4', 'a; b, "c"', '', '2,500')]
TITLES = ('video', 'caption', 'start', 'end')


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / 'videos'
    folder.mkdir()
    for name in '0.mp4', '1.mp4':
        (folder / name).write_bytes(b'a video')
    return folder


def write(separator, rows=(TITLES, *ROWS), end='\r\n'):
    """Write cells as a spreadsheet does, each in quotes where it needs them."""
    def quoted(cell):
        return '"{}"'.format(cell.replace('"', '""')) if (
            separator in cell or '"' in cell) else cell
    return ''.join(separator.join(map(quoted, row)) + end for row in rows)


def read(folder, path, content, **kwargs):
    path.write_bytes(content)
    entries, _ = read_own_captions(str(folder), str(path), **kwargs)
    return [(e.video, *e.captions, e.start, e.end) for e in entries]


@pytest.mark.parametrize('name, content', [
    ('a.csv', write(';').encode('utf-8-sig')),
    ('a.csv', write(',').encode()), ('a.csv', write(',', end='\r').encode()),
    ('a.csv', b'sep=;\r\n' + write(';').encode()),
    ('a.csv', b'"sep=|"\n' + write('|', end='\n').encode()),
    ('a.tsv', write('\t').encode('utf-16')),  # "Unicode text"
    ('a.txt', codecs.BOM_UTF16_BE + write('\t').encode('utf-16-be')),
    ('a.csv', write(';').encode('utf-32')),
    # Columns and rows that were used once.
    ('a.csv', write(';', [(*TITLES, '', ''), *((*row, '', ' ') for row in ROWS),
                       ('', '', '', '', '', '')]).encode())])
def test_tables_of_spreadsheets(name, content, videos, tmp_path):
    assert read(videos, tmp_path / name, content) == [
        ('0.mp4', 'ein Bär', .5, 1.25), ('1.mp4', 'a; b, "c"', None, 2.5)]


def test_another_encoding_is_named_and_never_guessed(videos, tmp_path):
    content = write(';').encode('cp1252')
    with pytest.raises(InputError, match=r'a.csv, line 2: not text in utf-8 \(.*; save '
                       'it as UTF-8 .* or say its encoding with --encoding'):
        read(videos, tmp_path / 'a.csv', content)
    found = read(videos, tmp_path / 'a.csv', content, encoding='cp1252')
    assert found[0][1] == 'ein Bär'
    # It is for files that are not UTF-8.
    found = read(videos, tmp_path / 'a.csv', write(';').encode(), encoding='cp1252')
    assert found[0][1] == 'ein Bär'
    with pytest.raises(InputError, match='not text, it has zero bytes'):
        read(videos, tmp_path / 'a.csv', table('0.mp4,a,1').encode('utf-16-le'))
    with pytest.raises(InputError, match='line 3: not text in utf-16'):
        read(videos, tmp_path / 'a.csv', write(';').encode('utf-16')[:-1])


@pytest.mark.parametrize('separator, numbers, expected', [
    (';', ['1,500', '2,250'], [1.5, 2.25]), (';', ['1.500', '12.5'], [1.5, 12.5]),
    (';', ['0.500', '2.250'], [.5, 2.25]), (',', ['1.500', '900'], [1.5, 900]),
    ('\t', ['1,5', '2,250'], [1.5, 2.25]), (';', ['1.500', '900'], '1.500'),
    ('\t', ['1,500', '900'], '1,500'), (',', ['1,500', '900'], '1,500'),
    (';', ['1,5', '2.5'], '2.5'), (';', ['1.500,5', '900'], '1.500,5'),
    (',', ['1,500.5', '900'], '1,500.5'), (';', ['1,2,3', '4'], '1,2,3')])
def test_a_comma_is_decimal_where_it_can_be_nothing_else(separator, numbers, expected,
                                                         videos, tmp_path):
    content = write(separator, [('video', 'caption', 'start'), *(
        (f'{i}.mp4', 'a', number) for i, number in enumerate(numbers))]).encode()
    if isinstance(expected, list):
        found = read(videos, tmp_path / 'a.csv', content)
        assert [row[2] for row in found] == expected
    else:
        with pytest.raises(InputError, match=f"must be seconds.*got '{expected}'"):
            read(videos, tmp_path / 'a.csv', content)


def table(*rows):
    return '\n'.join(['video,caption,start', *rows, ''])


SRT = '1\n00:00:01,000 --> 00:00:02,000\na\n\n2\n00:00:03,000 -> 00:00:04,000\nb\n\n'


@pytest.mark.parametrize('name, content, expected', [
    ('a.csv', table('0.mp4,a,soon', '0.mp4,b,1', '0.mp4,c', '7.mp4,d,', '1.mp4,,1'),
     ['line 4: expected 3 cells, got 2', "line 2: start must be seconds, got 'soon'",
      'line 5: there is no video 7.mp4', 'line 6: caption must be a text']),
    ('a.csv', table('0.mp4,"a\nb",x', '0.mp4,c,y', '0.mp4,"d"e,1'),
     ["line 5: ',' expected after", "line 3: start must be .*'x'", "line 4: .*'y'"]),
    ('a.jsonl', '{\n[1]\n{"video": "0.mp4", "caption": "a"}\n'
     '{"video": "0.mp4", "caption": 3}\n{"video": "0.mp4", "text": "a"}\n',
     ['line 1: not JSON', 'line 2: expected an object', 'line 4: caption must be a',
      'line 5: expected video']),
    ('a.jsonl', '{"video": "7.mp4", "caption": "\\ud83d", "end": [], "split": "a"}',
     ['line 1: there is no video 7', 'line 1: caption must be a text', 'line 1: end mu',
      "line 1: split must be train, val or test, got 'a'"]),
    ('0.srt', f'hello\n\n{SRT}3\n00:00:09,000 --> 00:00:08,000\nc\n\n'
     '4\n00:00:61,000 --> 00:01:02,000\nd\n',
     ['line 1: expected the number', 'line 8: expected times', 'line 16: expected ti',
      'line 12: .*end must be after start']),
    ('0.vtt', 'WEBVTT\n\n' + SRT.replace(',', '.')
     + 'a text\n\n00:09.000 --> 00:08.000\nc\n00:09.000 --> 00:10.000\nd\n',
     ['line 8: expected times', 'line 11: expected times', 'line 15: expected a blank',
      'line 13: .*end must be after start'])])
def test_all_problems_are_told_at_once(name, content, expected, videos, tmp_path):
    with pytest.raises(InputErrors) as caught:
        read(videos, tmp_path / name, content.encode())
    assert len(caught.value.problems) == len(expected), caught.value
    for text, pattern in zip(caught.value.problems, expected):
        assert text.startswith(str(tmp_path / name))
        pytest.raises(InputError, raise_, text).match(pattern)


def raise_(text):
    raise InputError(text)


def test_problems_beside_the_videos_are_told_together(videos):
    (videos / '0.srt').write_text(SRT)
    (videos / '1.txt').write_bytes('Bär'.encode('cp1252'))
    with pytest.raises(InputErrors) as caught:
        read_own_captions(str(videos))
    first, second = caught.value.problems
    assert '0.srt, line 6: expected times' in first
    assert '1.txt, line 1: not text in utf-8' in second


def test_clips_of_a_long_film_have_names_of_their_own(videos, tmp_path):
    path = tmp_path / '0.srt'
    path.write_text('03:25:45,610 --> 03:25:45,620\na\n'
                    '03:25:45,620 --> 03:25:45,630\nb')
    entries, _ = read_own_captions(str(videos), str(path))
    assert [entry.id for entry in entries] == ['0.mp4#12345.61-12345.62',
                                               '0.mp4#12345.62-12345.63']


def test_clips_of_two_splits_are_all_told(videos, tmp_path):
    rows = [dict(video=f'{i}.mp4', caption='a', split=split)
            for i in range(2) for split in ('train', 'test')]
    with pytest.raises(InputErrors) as caught:
        read(videos, tmp_path / 'a.jsonl', '\n'.join(map(json.dumps, rows)).encode())
    assert ['line 2: 0.mp4 is in' in caught.value.problems[0],
            'line 4: 1.mp4 is in' in caught.value.problems[1]] == [True, True]
