"""Read frames of videos from a cache, and from the videos what it lacks."""
import hashlib
import inspect
import os.path as osp
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Literal

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.shown_frames import is_even
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError, check_number, check_positive_int
from mmaction_centerclip.utils.option_types import check_types
from mmaction_centerclip.utils.pipelines import step_type

from .frame_store import FrameStore, StoredVideo, file_state

# The number of what is no frame, but says when the frames are shown of a video
# whose rate changes. The store has the rate of such a one as less than 0.
TIMES = 2**32 - 1
READ_BGR = cv2.IMREAD_COLOR
READ_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', None)  # from OpenCV 4.11 on


@check_types
class FrameCache:
    """Frames of videos, resized and encoded, in a file beside the videos.

    They are always those of its codec, stored or decoded anew, so that a training's
    frames do not depend on what has been stored before. A frame that is absent is
    decoded from the video; no neighbour stands for it. Frames belong to the content of
    a file: where its size or one of its times has changed, a hash of all of it is
    compared.

    Args:
        resize (dict, optional): The transform that frames go through before they are
            stored: the pipeline's own ``OpenCLIPResize`` or ``Resize``, which then
            finds nothing to change. The runner fills in the one behind ``VideoDecode``,
            see :func:`prepare_config`.
        codec (str): ``'jpeg'``, without subsampled colors, or ``'raw'``: exactly the
            frames, 7 to 10 times as large, and faster.
        quality (int): Of JPEG, 1 to 100.
        add (str): Which frames to add where a video has to be opened: ``'drawn'`` for
            those asked for.
    """

    def __init__(self, path: str, resize: dict | None = None,
                 codec: Literal['jpeg', 'raw'] = 'jpeg', quality: int = 90,
                 add: Literal['drawn', 'all', 'none'] = 'drawn',
                 max_gib: float | None = None) -> None:
        if not path or osp.isdir(path):
            raise InputError(f'cache: path must be the name of a file, got {path!r}')
        self.codec, self.add = codec, add
        if check_positive_int('cache: quality', quality) > 100:
            raise InputError(f'cache: quality must be 1 to 100, got {quality!r}')
        self.quality = quality
        if max_gib is not None:
            check_number('cache: max_gib', max_gib, lambda x: x > 0, 'positive')
            max_gib = int(max_gib * 2**30)
        if resize is not None and not (
                isinstance(resize, dict) and is_idempotent(resize)):
            raise InputError('cache: resize must be an OpenCLIPResize, or a Resize to '
                             f'a size that is not lazy, got {resize!r}')
        self.resize = resize and TRANSFORMS.build(resize)
        # By what it does: options of two models may come to the same.
        steps = getattr(self.resize, 'steps', [self.resize] if resize else [])
        self.recipe = '; '.join(
            ['frames 2', *map(repr, steps), codec] + [str(quality)] * (codec == 'jpeg'))
        self.store = FrameStore(path, max_gib, writable=add != 'none')

    def open(self, source: str | bytes,
             decode: Callable[[], VideoReader]) -> 'CachedVideo':
        """Open a local file, or its content; ``decode`` does it if nothing is known."""
        file = None
        if isinstance(source, bytes):
            content = hashlib.blake2b(source, digest_size=20).digest()
        else:
            file = osp.abspath(source), file_state(source)
            known = self.store.find(*file, self.recipe)
            if known:
                return CachedVideo(self, decode, known.content, known, file)
            content = self.store.content_of(*file)
        known = self.store.find_content(content, self.recipe)
        return CachedVideo(self, decode, content, known, file)

    def encode(self, image: np.ndarray) -> bytes:
        """Resize a frame, RGB, uint8 (H, W, 3), and encode it."""
        if self.resize:
            image = self.resize.transform(
                dict(imgs=[image], img_shape=image.shape[:2]))['imgs'][0]
        if self.codec == 'raw':
            size = np.array(image.shape[:2], '<u2').tobytes()
            return size + np.ascontiguousarray(image).tobytes()
        return cv2.imencode(
            '.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_JPEG_QUALITY, self.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
             cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])[1].tobytes()

    def decode(self, data: bytes) -> np.ndarray | None:
        """Decode a frame; None where the bytes are none."""
        if self.codec == 'raw':
            height, width = np.frombuffer(data[:4], '<u2').tolist() if len(
                data) >= 4 else (0, 0)
            if not height * width or len(data) != 4 + 3 * height * width:
                return None
            # Where the pipeline resizes, that is a copy anyway.
            data = data if self.resize else bytearray(data)
            return np.frombuffer(data, np.uint8, offset=4).reshape(height, width, 3)
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), READ_RGB or READ_BGR)
        except cv2.error:
            return None
        return image if image is None or READ_RGB else cv2.cvtColor(
            image, cv2.COLOR_BGR2RGB, dst=image)


class CachedVideo:
    """The frames of a video by their number, as :class:`VideoReader` has them."""

    def __init__(self, cache: FrameCache, decode: Callable[[], VideoReader],
                 content: bytes, known: StoredVideo | None,
                 file: tuple[str, str] | None = None) -> None:
        self._cache, self._decode, self._content = cache, decode, content
        self._known, self._file = known, file
        self._reader = None if known else decode()

    def __len__(self) -> int:
        return self._known.total if self._known else len(self._reader)

    def get_avg_fps(self) -> float:
        """Return the frames in a second, on average; 0 if nothing says."""
        return abs(self._known.rate) if self._known else self._reader.get_avg_fps()

    def get_seconds(self) -> np.ndarray:
        """Return when frames are shown as :class:`VideoReader` does, or nearly so."""
        if self._reader is None and self._known.rate > 0:
            return np.arange(len(self) + 1) / self._known.rate
        data = b'' if self._reader else self._cache.store.read(
            self._known.id, [TIMES]).get(TIMES, b'')
        if len(data) == 8 * (len(self) + 1):
            return np.frombuffer(data, '<f8')
        return self._open().get_seconds()

    def get_batch(self, indices: Sequence[int]) -> SimpleNamespace:
        """Read or decode frames; ``asnumpy()`` lists them, RGB, uint8 (H, W, 3)."""
        indices = np.ravel(indices).tolist()
        wanted = sorted(set(indices))
        if wanted[0] < 0 or wanted[-1] >= len(self):
            raise DecodingError(f'has {len(self)} frames, so none of number '
                                f'{wanted[0] if wanted[0] < 0 else wanted[-1]}')
        images = {}
        if self._known:
            stored = self._cache.store.read(self._known.id, wanted)
            images = {number: image for number, data in stored.items()
                      if (image := self._cache.decode(data)) is not None}
            if len({image.shape for image in images.values()}) > 1:
                images = {}  # None that were made alike.
        missing = [number for number in wanted if number not in images]
        if missing:
            images.update(self._decode_missing(missing))
        # A frame twice is two arrays, which transforms may change in place.
        batch = [images.pop(number) if number not in indices[i + 1:]
                 else images[number].copy() for i, number in enumerate(indices)]
        return SimpleNamespace(asnumpy=lambda: batch)

    def stored(self) -> set[int]:
        """Return the numbers of the frames that the cache has."""
        known = self._known or self._cache.store.find_content(
            self._content, self._cache.recipe)
        return self._cache.store.numbers(known.id) - {TIMES} if known else set()

    def fill(self) -> None:
        """Add all frames of the video, unless they are there."""
        if len(self.stored()) < len(self):
            self._store(self._encode_all())

    def _encode_all(self) -> dict[int, bytes]:
        encoded = {number: self._cache.encode(image)
                   for number, (image, _) in enumerate(self._open().in_order())}
        if len(encoded) != len(self):
            raise DecodingError(f'is damaged: {len(encoded)} of its {len(self)} '
                                'frames can be decoded')
        return encoded

    def _decode_missing(self, missing: list[int]) -> dict[int, np.ndarray]:
        cache = self._cache
        if cache.add == 'all':
            encoded = self._encode_all()
        else:
            images = self._open().get_batch(missing).asnumpy()
            encoded = dict(zip(missing, map(cache.encode, images)))
        if cache.add != 'none':
            try:
                self._store(encoded)
            except InputError as error:  # The frames are there all the same.
                cache.store.fail(error)
        return {number: cache.decode(encoded[number]) for number in missing}

    def _open(self) -> VideoReader:
        if self._reader is None:
            self._reader = self._decode()
            if len(self._reader) != len(self):
                raise DecodingError(f'has {len(self._reader)} frames, and had '
                                    f'{len(self)} when they were cached')
        return self._reader

    def _store(self, encoded: dict[int, bytes]) -> None:
        if self._file and file_state(self._file[0]) != self._file[1]:
            return  # It was changed while it was read.
        rate = self.get_avg_fps()
        if rate > 0 and not is_even(seconds := self._open().get_seconds(), rate):
            rate, encoded = -rate, encoded | {TIMES: seconds.astype('<f8').tobytes()}
        self._cache.store.add(self._content, self._cache.recipe, len(self), rate,
                              encoded.items())


def is_idempotent(step: dict) -> bool:
    """Return True if a transform leaves the frames that it made as they are."""
    return step_type(step) == 'OpenCLIPResize' or (
        step_type(step) == 'Resize' and not step.get('lazy')
        and not isinstance(step.get('scale'), float))


def frame_changes(cache: str | dict | None, pipeline: Sequence[dict]) -> dict:
    """Return a cache's options that change frames, beyond the pipeline's resizing."""
    if not cache:
        return {}
    bound = inspect.signature(FrameCache).bind(
        **cache if isinstance(cache, dict) else dict(path=cache))
    bound.apply_defaults()
    given = bound.arguments
    changes = {name: given[name] for name in ('codec', 'quality')
               if given['codec'] != 'raw'}
    if given['resize'] and given['resize'] not in list(pipeline):
        changes['resize'] = given['resize']
    return changes
