"""Draw what a query found: the first clips as film strips of their videos."""
import os
import posixpath
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    decoding_errors,
)
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from .token_pictures import tile

RIGHT = '#0a8a0a'
DPI = 100
LABEL, MARGIN, LINE = 26, 10, 20  # pixels: of a label, around all, of a query's line
MAX_LINES = 4


def film_strip(path: str, num_frames: int = 5, height: int = 96) -> np.ndarray:
    """Draw frames of a video side by side: RGB, uint8 (height, width, 3).

    Each is from the middle of one of ``num_frames`` equal parts.
    """
    with decoding_errors(path, everything=True):
        if not os.path.exists(path):
            raise FileNotFoundError(path)
        reader = VideoReader(path)
        middles = (np.arange(num_frames) + 0.5) * len(reader) / num_frames
        frames = reader.get_batch(middles.astype(int).tolist()).asnumpy()
    width = max(1, round(height * frames.shape[2] / frames.shape[1]))
    return tile(np.stack([mmcv.imresize(frame, (width, height), interpolation='area')
                          for frame in frames]), num_frames)


class VideoFolder:
    """Find the videos of an evaluation in a folder, and nowhere else.

    What all ``filenames`` have in common, such as ``data/msrvtt/videos``, is replaced
    by the folder.
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
        """Return the path of a video, or raise a DecodingError if it is outside."""
        if '\0' in filename:  # which each Python words otherwise
            raise DecodingError('no name of a file (it has a null byte)')
        try:
            path = (self.root / self.relative(filename)).resolve()
        except (OSError, ValueError) as error:
            raise DecodingError(f'no name of a file ({error})') from error
        if not path.is_relative_to(self.root):
            raise DecodingError('outside of the folder of the videos')
        return str(path)

    def _is_there(self, filename: str) -> bool:
        try:
            return os.path.isfile(self.path(filename))
        except DecodingError:
            return False


class Hit(NamedTuple):
    """A clip that a query found."""
    rank: str  # such as '1', or of a tie '2.5'
    name: str
    score: float
    is_right: bool  # it is the one that was wanted
    strip: np.ndarray | None  # None where the clip cannot be read
    reason: str = ''


def result_sheet(hits: Sequence[Hit], query: str = '') -> np.ndarray:
    """Draw the clips that a query found, one below the other: RGB, uint8 (H, W, 3).

    The right one has a green frame, and is called so. The query has at most four lines.
    """
    if not hits:
        raise InputError('a result sheet needs at least one hit')
    strips = [hit.strip for hit in hits if hit.strip is not None]
    strip_width = max((strip.shape[1] for strip in strips), default=500)
    heights = [0 if hit.strip is None else hit.strip.shape[0] for hit in hits]
    width = strip_width + 2 * MARGIN
    lines = textwrap.wrap(query, width // 9, max_lines=MAX_LINES, placeholder=' ...')
    top = MARGIN + bool(lines) * (len(lines) * LINE + MARGIN)
    height = top + sum(heights) + len(hits) * (LABEL + MARGIN)
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    for i, line in enumerate(lines):
        _write(figure, width, height, MARGIN + i * LINE, line, size=11, weight='bold')
    y = top
    for hit, own in zip(hits, heights):
        label = f'{hit.rank}. {hit.name}   {hit.score:.3f}'
        label += '   right' * hit.is_right + f'   {hit.reason}' * (hit.strip is None)
        _write(figure, width, height, y, label, size=9,
               color=RIGHT if hit.is_right else 'black')
        y += LABEL + own + MARGIN
    with warnings.catch_warnings():  # Signs that the font has not are boxes.
        warnings.filterwarnings('ignore', message='Glyph')
        canvas.draw()
    sheet = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    _put_strips(sheet, hits, top)
    return sheet


def _write(figure: Figure, width: int, height: int, top: int, text: str,
           **style) -> None:
    """Write a line; a dollar sign is one, not the start of a formula."""
    letters = max(10, width // 7)
    if len(text) > letters:
        text = text[:letters - 3] + '...'
    figure.text(MARGIN / width, 1 - top / height, text.replace('\n', ' '), va='top',
                parse_math=False, **style)


def _put_strips(sheet: np.ndarray, hits: Sequence[Hit], y: int) -> None:
    """Put the strips on a sheet, pixel by pixel, and a frame around the right one."""
    color = [int(RIGHT[i:i + 2], 16) for i in (1, 3, 5)]
    for hit in hits:
        y += LABEL
        if hit.strip is not None:
            height, width = hit.strip.shape[:2]
            if hit.is_right:
                sheet[y - 4:y + height + 4, MARGIN - 4:MARGIN + width + 4] = color
            sheet[y:y + height, MARGIN:MARGIN + width] = hit.strip
            y += height
        y += MARGIN
