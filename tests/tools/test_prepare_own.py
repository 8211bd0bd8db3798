"""A user's own videos and captions become annotations, split by video."""
import json
import re

import pytest

from mmaction_centerclip.annotations import read_own_captions, subtitles
from mmaction_centerclip.datasets import read_annotations, read_entries

SRT = ('\ufeff1\n00:00:00,500 --> 00:00:01,500\n<i>A red</i> square\nmoves\n\n'
       '2\r\n00:00:02,000 --> 00:01:03,250\r\nIt stops\r\n')


@pytest.fixture
def videos(tmp_path):
    """A folder of ten files, one of them in a folder of its own."""
    folder = tmp_path / 'data' / 'videos'
    (folder / 'sub').mkdir(parents=True)
    for name in [*(f'{i}.mp4' for i in range(9)), 'sub/9.AVI']:
        (folder / name).write_bytes(b'a video')
    return folder


def table(rows):
    return ''.join(f'{row}\n' for row in rows)


def test_splits_are_by_video_and_stay(videos, prepare, tmp_path):
    names = [*(f'{i}.mp4' for i in range(9)), 'sub/9.AVI']
    captions = tmp_path / 'captions.csv'
    captions.write_text(table(['video,caption', *(
        f'{name},"caption {i}, {name}"' for i in range(3) for name in names)]))
    status, said = prepare('own', videos, captions)
    assert status == 0 and f'{videos.parent / "train.json"}: 8 videos, 24 cap' in said
    train, test = (read_annotations(str(videos.parent / f'{split}.json'))
                   for split in ('train', 'test'))
    assert len(test) == 2 and sorted([*train, *test]) == sorted(names)
    assert train == {name: [f'caption {i}, {name}' for i in range(3)] for name in train}
    assert prepare('own', videos, captions)[1].rstrip().endswith('Nothing to do.')
    lines = captions.read_text().splitlines()
    captions.write_text(table([lines[0], *lines[:0:-1]]))  # In another order.
    prepare('own', videos, captions, '--out', tmp_path / 'other')
    assert set(read_annotations(str(tmp_path / 'other/test.json'))) == set(test)


def test_splits_of_the_captions_are_kept(videos, prepare, tmp_path):
    captions = tmp_path / 'captions.jsonl'
    captions.write_text(table(json.dumps(row) for row in (
        dict(video='0.mp4', caption='a', split='val', start=1, end=2.5),
        dict(video='0.mp4', caption='b', split='val', start=1, end=2.5),
        dict(video='1.mp4', caption='c', split='train'))))
    status, said = prepare('own', videos, captions, '--out', tmp_path / 'out')
    assert status == 0 and '8 videos without a caption are left out' in said
    entry, = read_entries(str(tmp_path / 'out/val.json'))
    assert (entry.video, entry.captions) == ('0.mp4', ['a', 'b'])
    assert (entry.start, entry.end, entry.id) == (1, 2.5, '0.mp4#1-2.5')
    assert not (tmp_path / 'out/test.json').exists()


def test_subtitles_are_clips(videos, prepare, tmp_path):
    (tmp_path / '3.srt').write_text(SRT)
    status, said = prepare('own', videos, tmp_path / '3.srt', '--out', tmp_path / 'out')
    assert status == 0, said
    entries = read_entries(str(tmp_path / 'out/test.json'))
    assert [(e.video, e.captions, e.start, e.end) for e in entries] == [
        ('3.mp4', ['A red square moves'], .5, 1.5), ('3.mp4', ['It stops'], 2, 63.25)]


@pytest.mark.parametrize('text, expected', [
    ('1\n{}\n42\n\n2\n{}\nb\n', ['42', 'b']), ('1\n{}\na\n1984\n', ['a 1984']),
    ('1\n{}\n7\n8\n\n2\n{}\n\n\n3\n{}\n<i></i>\n', ['7 8']),
    ('1\n{}\na\n2\n{}\n3\n', ['a', '3']), ('{}\n5\n\n{}\nb\n', ['5', 'b']),
    ('1\n{}\n{{\\an8}}<font color="#fff">Q&amp;A</font> a < b > c\n',
     ['Q&A a < b > c']),
    ('1\n{}\n{{\\pos(1,2)}}<B>x</B>\\Ny&nbsp;&lt;i&gt;\n', ['x y <i>']),
    ('1\n{}\na\n\n2\n', ['a'])])
def test_subtitles_are_read_as_players_show_them(text, expected, videos, tmp_path,
                                                 monkeypatch):
    said = []
    monkeypatch.setattr(subtitles, 'warn', said.append)
    times = [f'00:00:0{i},000 --> 00:00:0{i},900' for i in range(3)]
    (tmp_path / '3.srt').write_text(text.format(*times))
    entries, _ = read_own_captions(str(videos), str(tmp_path / '3.srt'))
    assert [caption for entry in entries for caption in entry.captions] == expected
    empty = text.count('{}') - len(expected)
    assert (f'dropped {empty} subtitles' in ''.join(said)) == (empty > 0)


def test_the_ways_to_write_a_video_are_one(videos, tmp_path):
    (tmp_path / 'a.csv').write_text(table([
        'video,caption,start,split', '0.mp4,a,,', './0.mp4,b,0,', 'sub/../0.mp4,c,0.0,',
        'sub/9.AVI,d,1,']))
    entries, _ = read_own_captions(str(videos), str(tmp_path / 'a.csv'))
    assert [(entry.video, entry.captions) for entry in entries] == [
        ('0.mp4', ['a', 'b', 'c']), ('sub/9.AVI', ['d'])]


def test_captions_beside_the_videos(videos, prepare, tmp_path):
    (videos / '3.srt').write_text(SRT)
    (videos / 'sub/9.txt').write_text('one\n\n two \n')
    status, said = prepare('own', videos)
    assert status == 0, said
    found = {name: captions for split in ('train', 'test') for name, captions in
             read_annotations(str(videos.parent / f'{split}.json')).items()}
    assert found == {'3.mp4': ['A red square moves', 'It stops'],
                     'sub/9.AVI': ['one', 'two']}


@pytest.mark.parametrize('name, content, message', [
    ('a.csv', 'video,text\n0.mp4,a\n', 'a.csv, line 1: expected titles with video'),
    ('a.csv', 'video,caption\n0.mp4,a\n77.mp4,b\n', 'line 3: there is no video 77.mp4'),
    ('a.csv', 'video,caption\n0.mp4,\n', 'line 2: caption must be a text'),
    ('a.csv', 'video,caption,start,end\n0.mp4,a,5,2\n', 'line 2: .*end must be after'),
    ('a.csv', 'video,caption,start\n0.mp4,a,soon\n',
     "start must be seconds, got 'soon'"),
    ('a.csv', 'video,caption,stop\n0.mp4,a,2\n',
     "a.csv: expected the titles .*, got 'video, caption, stop'"),
    ('a.csv', 'video,caption,split\n0.mp4,a,train\n0.mp4,b,test\n',
     "line 3: 0.mp4 is in the split 'train' already"),
    ('a.csv', 'video,caption,split\n0.mp4,a,train\n1.mp4,b,\n', '1.mp4 has no split'),
    ('a.csv', 'video,caption\n', 'a.csv has no captions'),
    ('a.jsonl', '{"video": "0.mp4", "caption": "a"}\n{\n', 'line 2: not JSON'),
    ('a.jsonl', '[1]\n', 'line 1: expected an object'),
    ('a.srt', SRT, 'a.srt must be named as one video of the folder, got 0'),
    ('3.srt', '1\n00:00:01 --> 00:00:02\nx\n', '3.srt, line 2: expected times such as'),
    ('3.srt', 'hello\n', '3.srt, line 1: expected the number'),
    ('3.srt', f'1\n{"9" * 5000}:00:01,000 --> 00:00:02,000\nx\n', 'expected times'),
    ('a.csv', 'video,caption,end\n0.mp4,a,1e308\n', 'line 2: .*below 1e.09'),
    ('a.jsonl', '{"video": "0.mp4", "caption": "a", "start": true}', 'must be seconds'),
    ('a.jsonl', f'{{"video": "0.mp4", "caption": "a", "end": 1{"0" * 400}}}',
     'must be seconds'),
    ('a.doc', 'x', 'a.doc must be a .csv, .* or .vtt file'),
    ('b.csv', None, 'annotation file not found: .*b.csv')])
def test_a_malformed_file_names_its_line(name, content, message, videos, prepare,
                                         tmp_path):
    if content is not None:
        (tmp_path / name).write_text(content)
    status, said = prepare('own', videos, tmp_path / name)
    assert status == 1 and re.search(f'^error: .*{message}', said, re.M), said
    assert not [*videos.parent.glob('*.json')]
