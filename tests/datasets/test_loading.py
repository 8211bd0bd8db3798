import decord
import pytest

from mmaction_centerclip.datasets.transforms import DecodingError, decoding_errors


def reasons_of(filename, read):
    with pytest.raises(DecodingError) as error, decoding_errors(str(filename)):
        read()
    return str(error.value)


def text(content):
    return b'this is not a video' * 40


def blank_frames(content):
    start, end = content.index(b'mdat') + 4, content.index(b'moov') - 4
    return content[:start] + bytes(end - start) + content[end:]


@pytest.mark.parametrize('spoil, kind', [
    (text, RuntimeError), (blank_frames, decord.DECORDError)])
def test_both_errors_of_decord_are_the_videos(tmp_path, shapes, spoil, kind):
    path = tmp_path / 'a.mp4'
    path.write_bytes(spoil((shapes / 'videos/test0000.mp4').read_bytes()))

    def read():
        decord.VideoReader(str(path)).get_batch([0])

    with pytest.raises(kind) as error:
        read()
    assert type(error.value) is kind
    reason = reasons_of(path, read)
    assert reason.startswith('cannot be decoded (') and '\n' not in reason


@pytest.mark.parametrize('error, reason', [
    (FileNotFoundError('a.mp4'), 'no such file'),
    (PermissionError(13, 'Permission denied'),
     'cannot be read ([Errno 13] Permission denied)'),
    (OSError('first\nsecond'), 'cannot be read (first)'),
    (OSError(), 'cannot be read (OSError)'),
])
def test_errors_of_the_system_are_the_videos(error, reason):

    def fail():
        raise error

    assert reasons_of('a.mp4', fail) == reason


def test_an_empty_file_is_not_opened(tmp_path):
    (tmp_path / 'a.mp4').touch()
    assert reasons_of(tmp_path / 'a.mp4', None) == 'the file is empty'


@pytest.mark.parametrize('error', [
    KeyError('imgs'), IndexError(3), RuntimeError('shapes differ'),
    ValueError('empty caption')])
def test_mistakes_of_a_pipeline_pass(error):
    with pytest.raises(type(error)) as raised, decoding_errors('a.mp4'):
        raise error
    assert raised.value is error
