import json

import pytest

from mmaction_centerclip.datasets import (
    annotation_file,
    read_annotations,
    write_annotations,
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
    monkeypatch.setattr(annotation_file, 'print_log',
                        lambda message, *args: said.append(message))
    assert read_annotations(str(path)) == {'0.mp4': ['a'], '2.mp4': ['b']}
    assert 'dropped 2 empty captions of 2 videos' in said[0]
    assert 'dropped 1 videos without a caption' in said[1]


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'out.json'
    captions = {'b.mp4': ['zwei', 'Ωmega'], 'a.mp4': ['one']}
    write_annotations(captions, str(path))
    assert read_annotations(str(path)) == captions
    with pytest.raises(InputError, match='out.json exists already'):
        write_annotations({}, str(path))
    with pytest.raises(TypeError, match='not JSON serializable'):
        write_annotations({'a.mp4': [b'one']}, str(tmp_path / 'other.json'))
    assert not (tmp_path / 'other.json').exists()
