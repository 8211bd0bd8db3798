import json

import pytest

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    annotation_file,
    annotation_text,
    read_annotations,
    read_entries,
)
from mmaction_centerclip.errors import InputError


@pytest.mark.parametrize('content, message', [
    (None, 'annotation file not found: .*bad.json'),
    ('not json', 'bad.json is not JSON'),
    (b'\xff', 'bad.json is not JSON'),
    ('["a"]', 'must map video files to lists of captions'),
    ('{}', 'must map video files to lists of captions'),
    ('{"a.mp4": "caption"}', 'must map video files'),
    ('{"a.mp4": [3]}', 'must map video files'),
    ('{"a.mp4": [3], "b.mp4": ["b"], "c.mp4": "c"}', r"bad.json: 'a.mp4' must have a "
     r"list of captions, got '.3.'\n .*'c.mp4' must have .*, got 'c'"),
    ('{"a.mp4": ["a"], "a.mp4": ["b"], "c": ["c"], "c": ["d"]}',
     "'a.mp4' stands 2 times.*\\n.*'c' stands 2 times"),
    ('{"a.mp4": ["a"], "./a.mp4": ["b"]}', "the clip .*'a.mp4'"),
    ('{"a.mp4": [" "]}', 'none of its 1 videos has a caption'),
])
def test_bad_annotations_are_named(tmp_path, content, message):
    path = tmp_path / 'bad.json'
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message):
        read_annotations(str(path))


def test_empty_captions_are_dropped_and_counted(tmp_path, monkeypatch):
    captions = {'0.mp4': ['', 'a'], '1.mp4': ['  '], '2.mp4': ['b']}
    path = tmp_path / 'some.json'
    path.write_text(json.dumps(captions))
    said = []
    monkeypatch.setattr(annotation_file, 'warn', said.append)
    assert read_annotations(str(path)) == {'0.mp4': ['a'], '2.mp4': ['b']}
    assert 'dropped 2 empty captions of 2 videos' in said[0]
    assert 'dropped 1 videos without a caption' in said[1]


def test_entries_are_read_as_written(tmp_path):
    entries = [AnnotationEntry('b.mp4', ['zwei', 'Ωmega'], 'b'),
               AnnotationEntry('a.mp4', ['one'], 'a1', end=2.5),
               AnnotationEntry('a.mp4', ['two'], 'a2', 2.5)]
    path = tmp_path / 'some.json'
    path.write_text(annotation_text(entries, 'val'), encoding='utf-8')
    assert read_entries(str(path)) == entries
    assert json.loads(path.read_text())['split'] == 'val'
    assert read_annotations(str(path)) == {
        'b.mp4': ['zwei', 'Ωmega'], 'a.mp4': ['one', 'two']}
    path.write_text('{"a.mp4": ["one"], "schema_version": ["two"]}')
    assert read_annotations(str(path)) == {'a.mp4': ['one'], 'schema_version': ['two']}


@pytest.mark.parametrize('change, message', [
    (dict(schema_version=2), 'schema_version must be 1, got 2'),
    (dict(schema_version=True), 'schema_version must be 1, got True'),
    (dict(more=1), 'or have a schema_version'), (dict(videos=[]), 'or have a schema'),
    (dict(videos=[3]), r'videos\[0\]: expected an object with a video'),
    *((dict(videos=[dict(dict(video='a', captions=['b'], id='c'), **entry)]), message)
      for entry, message in (
          (dict(stop=3), 'expected an object with a video'),
          (dict(video=''), 'video and id must be texts'),
          (dict(captions='b'), 'c: captions must be a list'),
          (dict(start=-1), 'c: start must be seconds, 0 or more .*, got -1'),
          (dict(end=1e308), 'c: end must be seconds, 0 or more and below 1e.09'),
          (dict(end=10**400), 'c: end must be a finite number, got one of 400 digits'),
          (dict(start=True), 'c: start must be a finite number, got True'),
          (dict(start='1'), 'c: start must be a finite number'),
          (dict(start=3, end=3), 'c: end must be after start, got 3 to 3'))),
    (dict(videos=[dict(video='a', captions=['b'], id=i) for i in 'cd']), 'the clip'),
    (dict(videos=[dict(video='a', captions=['b'], id='c'), dict(
        video='d/../a', captions=['b'], id='d', start=0)]), 'the clip'),
    (dict(videos=[dict(video=i, captions=['b'], id='c') for i in 'ab']), "the id 'c'"),
    (dict(videos=[3, *(dict(video=i, captions=['b'], id=i) for i in 'aa'), dict()]),
     r"4 problems:\n.*\[0\]: exp.*\n.*\[3\]: exp.*\n.*the id 'a'.*\n.*the clip")])
def test_bad_entries_are_named(change, message, tmp_path):
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(dict(
        dict(schema_version=1, split='test',
             videos=[dict(video='a', captions=['b'], id='c')]), **change)))
    with pytest.raises(InputError, match=f'(bad.json.*|^){message}'):
        read_entries(str(path))
