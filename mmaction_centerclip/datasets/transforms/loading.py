"""Open a video and decode its frames, in a pipeline."""
import os.path as osp
from functools import partial

from mmaction.datasets.transforms import DecordDecode, DecordInit
from mmaction.registry import TRANSFORMS
from mmengine.fileio import get

from mmaction_centerclip.datasets.caching.frame_cache import CachedVideo, FrameCache
from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError


@TRANSFORMS.register_module()
class VideoInit(DecordInit):
    """Open a video, whatever its container and codec.

    In place of the zoo's ``DecordInit``, ``PyAVInit`` and ``OpenCVInit``, which give
    other frames than those asked for, or none, for some files.

    Required Keys:

        - filename: a local file, or a URL that mmengine reads

    Added Keys:

        - video_reader: a :class:`VideoReader`, or a :class:`CachedVideo`
        - total_frames
        - avg_fps

    Args:
        cache (str | dict, optional): A file that keeps frames, resized already, or the
            options of :class:`FrameCache`.
    """
    deterministic = True

    def __init__(self, io_backend: str = 'disk', num_threads: int = 1,
                 cache: str | dict | None = None, **kwargs) -> None:
        super().__init__(io_backend, num_threads, **kwargs)
        self.cache = None
        if cache is not None:
            options = cache if isinstance(cache, dict) else dict(path=cache)
            try:
                self.cache = FrameCache(**options)
            except TypeError as error:
                raise InputError(f'VideoInit: cache={cache!r}: {error}') from None

    def _get_video_reader(self, filename: str) -> VideoReader | CachedVideo:
        source = filename
        if self.io_backend == 'disk' and '://' not in filename:
            if osp.isdir(filename):
                raise DecodingError('is a folder, expected a video file')
            if not osp.exists(filename):
                raise FileNotFoundError(filename)
        else:
            backend = None if self.io_backend == 'disk' else dict(
                backend=self.io_backend, **self.kwargs)
            try:
                source = get(filename, backend_args=backend)
            except (ImportError, KeyError) as error:
                raise InputError(f'{filename}: expected a local file or a URL that '
                                 f'mmengine can read ({error})') from error
        decode = partial(VideoReader, source, self.num_threads)
        return self.cache.open(source, decode) if self.cache else decode()

    def transform(self, results: dict) -> dict:
        with decoding_errors(results['filename'], everything=True):
            return super().transform(results)


@TRANSFORMS.register_module()
class VideoDecode(DecordDecode):
    """Decode the frames ``frame_inds`` of what ``VideoInit`` opened.

    Required Keys:

        - video_reader
        - frame_inds

    Added Keys:

        - imgs: the frames, RGB, uint8 (H, W, 3)
        - original_shape, img_shape
    """
    deterministic = True

    def __init__(self) -> None:
        super().__init__()

    def transform(self, results: dict) -> dict:
        with decoding_errors(results['filename'], everything=True):
            return super().transform(results)
