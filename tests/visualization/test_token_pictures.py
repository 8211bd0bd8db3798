"""Pixels of pictures of tokens."""
import numpy as np
import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.visualization import draw_tokens
from mmaction_centerclip.visualization.token_pictures import patch_grid, tile

GRAY = np.full((4, 48, 48, 3), 120, dtype=np.uint8)
# A token for each frame but the last; the first also stands for a patch of
# each other frame, and the last frame's other patches are dropped.
CENTER = np.array([[0, 0, -1, -1, -1, -1, -1, -1, -1],
                   [-1, -1, -1, 12, 0, -1, -1, -1, -1],
                   [-1, -1, -1, -1, -1, -1, -1, 0, 26],
                   [0, -1, -1, -1, -1, -1, -1, -1, -1]])


def block(picture, place, pixels=24, columns=4):
    """The pixels of a patch of a picture, whose frames have 3 x 3 patches."""
    frame, patch = divmod(place, 9)
    y, x = (frame // columns * (3 * pixels + 4) + patch // 3 * pixels,
            frame % columns * (3 * pixels + 4) + patch % 3 * pixels)
    return picture[y:y + pixels, x:x + pixels]


def border(pixels, width):
    """The colors of a border, and whether it is no wider."""
    inside = pixels[width:-width, width:-width]
    outside = np.ones(pixels.shape[:2], dtype=bool)
    outside[width:-width, width:-width] = False
    colors = {tuple(color) for color in pixels[outside].tolist()}
    return colors, len(np.unique(inside)) == 1


def test_borders_say_the_cluster():
    picture = draw_tokens(GRAY, CENTER, columns=2, patch_pixels=24)
    assert picture.shape == (2 * 96 + 4, 2 * 96 + 4, 3)  # twice as large
    cluster, = border(block(picture, 0, 32, 2), 2)[0]
    assert cluster != (255, 255, 255) and len(set(cluster)) > 1
    for place, own in enumerate(CENTER.flatten()):
        pixels = block(picture, place, 32, 2)
        if own < 0:
            assert (pixels == 30).all()
            continue
        colors, is_even = border(pixels, 2 if own == place else 1)
        assert is_even and pixels[16, 16, 0] == (120 if own == place else 30)
        assert colors == {cluster if own == 0 else (255, 255, 255)}


def test_clusters_that_are_neighbours_have_other_colors():
    center = np.repeat(np.arange(0, 36, 2), 2).reshape(4, 9)
    picture = draw_tokens(GRAY, center)
    colors = [border(block(picture, place, 32), 2)[0].pop()
              for place in range(0, 36, 2)]
    assert len(set(colors)) == 18
    assert all(np.abs(np.subtract(a, b)).sum() > 100
               for a, b in zip(colors, colors[1:]))


def test_a_number_is_on_tokens_of_several_patches_only():
    size = np.where(CENTER == np.arange(36).reshape(4, 9), 1, 0)
    plain = draw_tokens(GRAY, CENTER)
    assert np.array_equal(draw_tokens(GRAY, CENTER, size), plain)
    size[0, 0] = 17
    numbered = draw_tokens(GRAY, CENTER, size)
    for place in range(36):
        same = np.array_equal(block(numbered, place, 32), block(plain, place, 32))
        assert same == (place != 0)
    assert block(numbered, 0, 32).max() == 255 and block(numbered, 0, 32).min() < 30


def test_each_frame_of_a_tubelet_is_drawn():
    frames = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
    picture = draw_tokens(frames, CENTER[:2], patch_pixels=1)
    for place in range(36):
        frame, patch = divmod(place, 9)
        y, x = patch // 3 * 16, patch % 3 * 16
        own = frames[frame, y:y + 16, x:x + 16]
        token = frame // 2 * 9 + patch
        expected = own if CENTER.flatten()[token] == token else own // 4
        assert np.array_equal(block(picture, place, 16)[2:-2, 2:-2],
                              expected[2:-2, 2:-2])


def test_frames_are_tiled():
    images = np.stack([np.full((2, 3, 3), i, dtype=np.uint8) for i in range(5)])
    picture = tile(images, 2)
    assert picture.shape == (3 * 6 - 4, 2 * 7 - 4, 3)
    for i in range(5):
        y, x = i // 2 * 6, i % 2 * 7
        assert (picture[y:y + 2, x:x + 3] == i).all()
    assert (picture == 255).sum() == picture.size - 5 * 18
    assert tile(images, 9).shape == (2, 5 * 7 - 4, 3)


def test_the_grid_of_patches():
    assert patch_grid(196, 224, 224) == (14, 14)
    assert patch_grid(98, 112, 224) == (7, 14)
    assert patch_grid(8, 64, 32) == (4, 2)
    for patches in (7, 12, 50):
        with pytest.raises(InputError, match=f'^{patches} patches are no grid'):
            patch_grid(patches, 224, 224)


@pytest.mark.parametrize('frames, center, options, message', [
    (GRAY[0], CENTER, {}, r'frames must be uint8 \(T, H, W, 3\), got uint8 \(48'),
    (GRAY / 255, CENTER, {}, 'frames must be uint8.*got float64'),
    (GRAY, CENTER[:3], {}, r'that divide the 4 of the clip, got \(3, 9\)'),
    (GRAY, CENTER[0], {}, r'center must be \(frames, patches\)'),
    (GRAY, CENTER, dict(columns=0), 'columns must be a positive integer'),
    (GRAY, CENTER, dict(patch_pixels=0), 'patch_pixels must be a positive integer'),
])
def test_what_cannot_be_drawn(frames, center, options, message):
    with pytest.raises(InputError, match=message):
        draw_tokens(frames, center, **options)
