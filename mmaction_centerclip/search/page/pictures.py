"""Pictures of a moment: its first frame, and the tokens that are kept of it."""
from functools import lru_cache
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
from mmengine.dataset import pseudo_collate

from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.search.encoding import open_windows
from mmaction_centerclip.visualization import (
    draw_tokens,
    see_tokens,
    tower_inputs,
    tower_of,
)

__all__ = ['TokenPicture', 'thumbnail', 'token_pictures']

LARGEST = 480  # pixels of a thumbnail's longer side
TOUCHING = 1e-6  # seconds, by which a time may miss that of its frame


class TokenPicture(NamedTuple):
    """The patches that a neck keeps of a window.

    Attributes:
        neck (str): Its kind.
        kept (int): Patches behind it.
        patches (int): Patches of all frames.
        start (float): Where the window starts, in seconds.
        end (float): Where it ends.
        png (bytes): The picture.
    """
    neck: str
    kept: int
    patches: int
    start: float
    end: float
    png: bytes


@lru_cache(maxsize=512)
def thumbnail(path: str, start: float, modified: int) -> bytes:
    """Return the frame that is shown at a time, as a small JPEG.

    Args:
        path (str): The video.
        start (float): The time, in seconds.
        modified (int): When the file was, since results are kept.

    Raises:
        DecodingError: If it cannot be read.
    """
    with decoding_errors(path, everything=True):
        reader, seconds = VideoReader(path), None
        # Again, where frames come at other times than the packets said.
        while not np.array_equal(seconds, seconds := reader.get_seconds()):
            number = _frame_at(seconds, start)
            frame = reader.get_batch([number]).asnumpy()[0]
    scale = min(1, LARGEST / max(frame.shape[:2]))
    if scale < 1:
        frame = mmcv.imrescale(frame, scale, interpolation='area')
    return _encode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _frame_at(seconds: np.ndarray, start: float) -> int:
    """Return the number of the frame that is shown at a time."""
    number = int(np.searchsorted(seconds, start + TOUCHING, side='right')) - 1
    return min(max(number, 0), len(seconds) - 2)


def token_pictures(index: VideoIndex, path: str, start: float) -> list[TokenPicture]:
    """Draw what each neck keeps of the window that a time is in.

    The window is that of the index, and its frames those that were encoded.

    Args:
        index (VideoIndex): With the model.
        path (str): The video.
        start (float): The time, in seconds.

    Returns:
        list[TokenPicture]: One a neck; none of a tower without necks.

    Raises:
        DecodingError: If the video cannot be read.
        InputError: If a neck does not say which tokens it keeps.
    """
    tower = tower_of(index.inferencer.model)
    if not tower.necks:
        return []
    pipeline = index.inferencer.pipeline
    video, seconds, windows = open_windows(pipeline, path, index.window, index.at_cuts)
    at = _frame_at(seconds, start)
    first, end = next(window for window in windows if window[0] <= at < window[1])
    sample = pipeline.prepare(video, first, end)
    inputs = tower_inputs(index.inferencer.model, pseudo_collate([sample]), 1)
    pictures = []
    for neck, view in zip(tower.necks, see_tokens(
            tower, inputs.imgs, inputs.frame_mask)):
        center, size = (x[0].cpu().numpy() for x in (view.center, view.size))
        drawn = draw_tokens(inputs.frames[0], center, size, patch_pixels=32)
        pictures.append(TokenPicture(
            type(neck).__name__, int((size > 0).sum()), size.size,
            float(seconds[first]), float(seconds[end]), _encode('.png', drawn)))
    return pictures


def _encode(suffix: str, picture: np.ndarray, options: list[int] = ()) -> bytes:
    """Encode an RGB picture."""
    done, content = cv2.imencode(suffix, picture[..., ::-1], list(options))
    if not done:
        raise DecodingError('its picture cannot be encoded')
    return content.tobytes()
