"""Film strips of the videos of a folder."""
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

__all__ = ['VideoFolder', 'film_strip']

GAP = 4


def film_strip(path: str, num_frames: int = 5, height: int = 96) -> np.ndarray:
    """Draw frames of a video at equal distances, side by side.

    Args:
        path (str): A video file.
        num_frames (int): Frames, each from the middle of its part.
            Defaults to 5.
        height (int): Of the frames, in pixels. Defaults to 96.

    Returns:
        ndarray: RGB, uint8 (height, width, 3).

    Raises:
        DecodingError: If the video cannot be read.
    """
    with decoding_errors(path, everything=True):
        if not os.path.exists(path):
            raise FileNotFoundError(path)
        reader = VideoReader(path)
        middles = (np.arange(num_frames) + 0.5) * len(reader) / num_frames
        frames = reader.get_batch(middles.astype(int).tolist()).asnumpy()
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    strip = np.full((height, num_frames * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for i, frame in enumerate(frames):
        left = i * (width + GAP)
        strip[:, left:left + width] = mmcv.imresize(
            frame, (width, height), interpolation='area')
    return strip


class VideoFolder:
    """Find the videos of an evaluation in a folder, and nowhere else.

    Names in a file of features are paths as they were when it was written;
    what they have in common, such as ``data/msrvtt/videos``, is replaced by
    the folder.

    Args:
        folder (str): The folder.
        filenames (Sequence[str]): All names of the evaluation.
    """

    def __init__(self, folder: str, filenames: Sequence[str]) -> None:
        if not os.path.isdir(folder):
            raise InputError(f'no such folder: {folder}')
        self.root = Path(folder).resolve()
        folders = [posixpath.dirname(name) for name in filenames]
        common = folders[0]
        while any(not f'{name}/'.startswith(f'{common}/') for name in folders):
            common = posixpath.dirname(common) if common.strip('/') else ''
            if not common:
                break
        self.start = f'{common}/' if common else ''
        if not any(self._is_there(name) for name in filenames):
            raise InputError(
                f'{folder}: none of the {len(filenames)} videos is there, such as '
                f'{self.relative(filenames[0])!r}')

    def relative(self, filename: str) -> str:
        """Return a name without what all names have in common."""
        return filename.removeprefix(self.start)

    def path(self, filename: str) -> str:
        """Return the path of a video.

        Raises:
            DecodingError: If it is outside of the folder.
        """
        try:
            path = (self.root / self.relative(filename)).resolve()
        except (OSError, ValueError) as error:  # such as a null byte
            raise DecodingError(f'no name of a file ({error})') from error
        if not path.is_relative_to(self.root):
            raise DecodingError('outside of the folder of the videos')
        return str(path)

    def _is_there(self, filename: str) -> bool:
        try:
            return os.path.isfile(self.path(filename))
        except DecodingError:
            return False
