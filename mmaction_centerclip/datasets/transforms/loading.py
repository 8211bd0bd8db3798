"""Open a video file with decord, and say why a broken one cannot be read."""
import contextlib
import os.path as osp
from collections.abc import Iterator

from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS

__all__ = ['DecodingError', 'DecordInitFromFile', 'decoding_errors']


class DecodingError(OSError):
    """A video that cannot be read; the message is one line that says why."""


@contextlib.contextmanager
def decoding_errors(filename: str) -> Iterator[None]:
    """Raise a :class:`DecodingError` for all that goes wrong with a video.

    Other exceptions are mistakes in the pipeline, and pass.

    Args:
        filename (str): The video that the pipeline is about to read.
    """
    if osp.isfile(filename) and osp.getsize(filename) == 0:
        raise DecodingError('the file is empty')
    try:
        yield
    except FileNotFoundError:
        raise DecodingError('no such file') from None
    except OSError as error:
        raise DecodingError(f'cannot be read ({_first_line(error)})') from error
    except Exception as error:
        if not _is_from_decoder(error):
            raise
        raise DecodingError(f'cannot be decoded ({_first_line(error)})') from error


def _is_from_decoder(error: Exception) -> bool:
    """Tell the errors of decoders, of which decord has two."""
    return type(error).__module__.startswith('decord') or (
        isinstance(error, RuntimeError) and str(error).startswith('Error reading'))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@TRANSFORMS.register_module()
class DecordInitFromFile(DecordInit):
    """``DecordInit`` that opens local files by name.

    The zoo's own reads the whole file and hands decord the bytes. With bytes,
    decord 0.6 ends the process with a segmentation fault on a truncated AVI
    file; with the name it raises an error or decodes what there is. Other
    backends than ``'disk'`` work as in ``DecordInit``.

    Required and Added Keys: as for ``DecordInit``.

    Args:
        io_backend (str): Where the files are. Defaults to ``'disk'``.
        num_threads (int): Threads of the decoder. Defaults to 1.
        **kwargs: Arguments of another backend.
    """

    def _get_video_reader(self, filename: str) -> object:
        if self.io_backend != 'disk':
            return super()._get_video_reader(filename)
        import decord
        if not osp.isfile(filename):
            raise FileNotFoundError(filename)
        return decord.VideoReader(filename, num_threads=self.num_threads)

    def transform(self, results: dict) -> dict:
        """Open ``results['filename']``."""
        results = super().transform(results)
        if results['total_frames'] < 1:
            raise OSError('the video has no frames')
        return results
