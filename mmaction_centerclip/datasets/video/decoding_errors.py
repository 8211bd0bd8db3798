"""Open a media file, and say in one line why a video cannot be read."""
import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator

import av
from mmaction.datasets import transforms as zoo

from mmaction_centerclip.errors import InputError

DECODERS = (
    zoo.DecordInit, zoo.DecordDecode, zoo.OpenCVInit, zoo.OpenCVDecode,
    zoo.PIMSInit, zoo.PIMSDecode, zoo.PyAVInit, zoo.PyAVDecode,
    zoo.RawFrameDecode)
MISTAKES = AttributeError, ImportError, NameError, TypeError  # never a file's fault
# Tags that are no text are not worth a video; PyAV 19 replaces them by itself.
LENIENT = {} if int(av.__version__.split('.')[0]) >= 19 else dict(
    metadata_errors='replace')


class DecodingError(OSError):
    """A video that cannot be read; the message is one line, with the ``reason``."""

    def __init__(self, reason: str, filename: str | None = None) -> None:
        super().__init__(f'{filename}: {reason}' if filename else reason)
        self.reason = reason


def open_media(source: str | bytes) -> av.container.InputContainer:
    """Open a local file by its name, never taken for a pattern, or its content."""
    # With the protocol, a colon in a name is a part of it. A picture's name with a %
    # stands for many pictures in FFmpeg otherwise, and even so its size is not found.
    if isinstance(source, str):
        container = av.open(
            f'file:{source}', options={'pattern_type': 'none'}, **LENIENT)
        if container.format.name != 'image2':
            return container
        container.close()
        with open(source, 'rb') as file:
            source = file.read()
    return av.open(io.BytesIO(source), **LENIENT)


def codec_name(stream: av.VideoStream) -> str:
    """Name the codec of a stream."""
    context = stream.codec_context  # none where there is no decoder
    return context.codec.canonical_name if context else 'not known to PyAV'


def run_transform(transform: Callable, results: dict, filename: str) -> dict:
    """Call a transform; a :class:`DecodingError` says what is wrong with the video."""
    decodes = isinstance(transform, DECODERS)
    with decoding_errors(filename, everything=decodes):
        results = transform(results)
        if decodes and results.get('total_frames', 1) < 1:
            raise DecodingError(
                f'{type(transform).__name__} finds no frames{_codec(filename)}')
        if isinstance(transform, zoo.PyAVInit) and any(
                stream.codec_context is None
                for stream in results['video_reader'].streams.video):
            # Decoding it ends the process in PyAV 17.
            raise DecodingError('cannot be decoded (its codec is not known to PyAV)')
    return results


@contextlib.contextmanager
def decoding_errors(filename: str, everything: bool = False) -> Iterator[None]:
    """Raise a :class:`DecodingError` for all that goes wrong with a video.

    Other exceptions are mistakes in the pipeline, and pass. With ``everything`` a
    decoder alone is at work, to blame for all but mistakes of ours, missing packages,
    keys and options; else for the exceptions of decoders and of the system.
    """
    problem = None
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(filename)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            problem = 'not a regular file'  # a pipe would be waited for
        elif status.st_size == 0 and stat.S_ISREG(status.st_mode):
            problem = 'the file is empty'
    if problem:
        raise DecodingError(problem, filename)
    try:
        yield
    except DecodingError as error:
        raise DecodingError(error.reason, filename) from error.__cause__
    except FileNotFoundError:
        raise DecodingError('no such file', filename) from None
    except OSError as error:
        raise DecodingError(
            f'cannot be read ({_first_line(error)})', filename) from error
    except Exception as error:
        if not _is_from_decoder(error) and (not everything or isinstance(
                error, (InputError, KeyError, *MISTAKES))):
            raise
        raise DecodingError(
            f'cannot be decoded ({_first_line(error)}{_codec(filename)})',
            filename) from error


def _is_from_decoder(error: Exception) -> bool:
    """Return True if raised by a decoder; decord has two kinds of errors."""
    return isinstance(error, av.FFmpegError) or type(
        error).__module__.startswith('decord') or (
            isinstance(error, RuntimeError)
            and str(error).startswith('Error reading'))


def _first_line(error: Exception) -> str:
    text = error.strerror if isinstance(error, av.FFmpegError) else str(error)
    lines = str(text).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _codec(filename: str) -> str:
    """Name the codec of a file, if it is a video; for the message only."""
    with contextlib.suppress(av.FFmpegError, IndexError):
        with open_media(filename) as file:
            return f'; its codec is {codec_name(file.streams.video[0])}'
    return ''
