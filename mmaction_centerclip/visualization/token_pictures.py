"""Draw which patches of a video's frames are kept."""
import math

import cv2
import numpy as np
from matplotlib.colors import hsv_to_rgb

from mmaction_centerclip.errors import InputError, check_positive_int

DIM = 4  # Dropped patches have a fourth of their brightness.
GAP = 4  # Pixels between frames.
WHITE = (255, 255, 255)


def draw_tokens(frames: np.ndarray, center: np.ndarray,
                size: np.ndarray | None = None, columns: int = 4,
                patch_pixels: int = 24, shown: np.ndarray | None = None) -> np.ndarray:
    """Draw the frames of a clip with their kept patches: RGB, uint8 (height, width, 3).

    Patches that were dropped are dimmed. Others have a border in the color of their
    cluster, a token's own a bold one; it is white where no other patch is known to
    belong to it.

    ``frames`` are RGB, uint8 (T, H, W, 3). ``center`` and ``size``, which is written on
    tokens of several patches, are those of a :class:`TokenView`, integers (T', N). T'
    divides T: of a tubelet of frames, each is drawn, or of those that are ``shown``,
    bool (T', ). Patches are enlarged by a whole
    number, to a height of at least ``patch_pixels``.

    Examples:
        >>> import numpy as np
        >>> frames = np.full((2, 32, 32, 3), 200, dtype=np.uint8)
        >>> center = np.array([[0, -1, 0, -1], [-1, -1, -1, 7]])
        >>> picture = draw_tokens(frames, center, columns=2)
        >>> picture.shape, picture[16, [16, 48], 0].tolist()
        ((64, 132, 3), [200, 50])
    """
    check_positive_int('columns', columns)
    check_positive_int('patch_pixels', patch_pixels)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise InputError('frames must be uint8 (T, H, W, 3), got '
                         f'{frames.dtype} {frames.shape}')
    if center.ndim != 2 or len(frames) % max(len(center), 1):
        raise InputError('center must be (frames, patches) with frames that divide the '
                         f'{len(frames)} of the clip, got {center.shape}')
    height, width = frames.shape[1:3]
    rows, cols = patch_grid(center.shape[1], height, width)
    scale = max(1, math.ceil(patch_pixels * rows / height))
    big = frames.repeat(scale, 1).repeat(scale, 2)
    ys, xs = (np.arange(n + 1) * length // n for n, length in
              ((rows, scale * height), (cols, scale * width)))
    tubelet = len(frames) // len(center)
    colors = _cluster_colors(center)
    for place, own in enumerate(center.flatten().tolist()):
        frame, patch = divmod(place, center.shape[1])
        row, col = divmod(patch, cols)
        block = big[frame * tubelet:(frame + 1) * tubelet,
                    ys[row]:ys[row + 1], xs[col]:xs[col + 1]]
        if own != place:
            block //= DIM
        if own >= 0:
            _draw_border(block, colors[own], 2 if own == place else 1)
        if size is not None and own == place and size[frame, patch] > 1:
            for image in block:
                _write(image, str(size[frame, patch]))
    if shown is not None:
        big = big[np.repeat(shown, tubelet)]
    return tile(big, columns)


def patch_grid(patches: int, height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of square patches that fill a frame."""
    rows = round(math.sqrt(patches * height / width))
    if rows < 1 or patches % rows or height * (patches // rows) != width * rows:
        raise InputError(f'{patches} patches are no grid of squares in frames of '
                         f'{height} x {width} pixels')
    return rows, patches // rows


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Put images (T, H, W, 3) in rows, with white gaps between them."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    images = np.pad(images, ((0, rows * columns - len(images)), (0, GAP), (0, GAP),
                             (0, 0)), constant_values=255)
    height, width = images.shape[1:3]
    whole = images.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(
        rows * height, columns * width, 3)
    return whole[:-GAP, :-GAP]


def _cluster_colors(center: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Choose hues of neighbouring clusters that are far from each other."""
    owners, counts = np.unique(center[center >= 0], return_counts=True)
    colors = {}
    for i, (owner, count) in enumerate(zip(owners.tolist(), counts.tolist())):
        # Steps of the golden ratio spread any number of hues.
        hue = i * (math.sqrt(5) - 1) / 2 % 1
        rgb = np.rint(255 * hsv_to_rgb((hue, 0.85, 1))).astype(int).tolist()
        colors[owner] = tuple(rgb) if count > 1 else WHITE
    return colors


def _draw_border(block: np.ndarray, color: tuple[int, ...], width: int) -> None:
    """Draw a border inside blocks (T, H, W, 3)."""
    for edge in (block[:, :width], block[:, -width:],
                 block[:, :, :width], block[:, :, -width:]):
        edge[...] = color


def _write(image: np.ndarray, text: str) -> None:
    """Write a number in the middle of an image, white with a dark rim."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.016 * min(image.shape[:2])
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    place = (image.shape[1] - width) // 2, (image.shape[0] + height) // 2
    drawn = np.ascontiguousarray(image)  # which cv2 draws on
    for color, thickness in (((0, 0, 0), 3), (WHITE, 1)):
        cv2.putText(drawn, text, place, font, size, color, thickness, cv2.LINE_AA)
    image[...] = drawn
