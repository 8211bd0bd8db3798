"""Open a video, decode its frames and resize them, in a pipeline."""
import os.path as osp
from functools import partial

from mmaction.datasets.transforms import CenterCrop, DecordDecode, DecordInit, Resize
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.fileio import get

from mmaction_centerclip.clip.preprocessing import describe_resizing, preprocessing_for
from mmaction_centerclip.datasets.caching.frame_cache import CachedVideo, FrameCache
from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError, named_errors


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


@TRANSFORMS.register_module()
class OpenCLIPResize(BaseTransform):
    """Resize and crop frames to the pictures that a model was trained on.

    By the zoo's ``Resize`` and ``CenterCrop``, with what open_clip has for a tag: most
    keep the proportions and crop, SigLIP's and PE-Core's squash.

    Required and Modified Keys:

        - imgs, img_shape: see ``mmaction.datasets.transforms.Resize``

    Added Keys:

        - resizing: what was done, which a model compares with that of its own

    Args:
        model (str | dict): The model's ``arch``, see :func:`clip_config`. In a
            retriever's config the runner fills it in. OpenAI's share the default's
            pictures.
        pretrained (str, optional): See :func:`preprocessing_for`.
    """
    deterministic = True

    def __init__(self, model: str | dict = 'ViT-B-32',
                 pretrained: str | None = None) -> None:
        with named_errors('OpenCLIPResize: model'):
            known = preprocessing_for(model, pretrained)
        self.resizing = describe_resizing(known)
        size, options = known['image_size'], dict(interpolation=known['interpolation'])
        height, width = (size, size) if isinstance(size, int) else size
        self.size = height, width
        if known['resize_mode'] == 'squash':
            self.steps = [Resize((width, height), keep_ratio=False, **options)]
        elif known['resize_mode'] == 'shortest' and height == width:
            self.steps = [Resize((-1, height), **options), CenterCrop(height)]
        else:
            raise InputError(f'OpenCLIPResize: model {model!r} takes pictures of '
                             f'{height} x {width}, resized by '
                             f"{known['resize_mode']!r}, which is not supported")
        self.model, self.pretrained = model, pretrained

    def transform(self, results: dict) -> dict:
        # Those of a cache are as they should be, and are not copied.
        is_done = results['imgs'] and all(
            img.shape[:2] == self.size for img in results['imgs'])
        imgs = results.pop('imgs') if is_done else None
        for step in self.steps:
            results = step(results)
        if is_done:
            results['imgs'] = imgs
        results['resizing'] = self.resizing
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(model={self.model!r}, '
                f'pretrained={self.pretrained!r})')
