import copy
import pickle

import cv2
import numpy as np
import open_clip
import pytest
from mmaction.registry import TRANSFORMS
from PIL import Image

from mmaction_centerclip.errors import InputError

from ..conftest import TINY_ARCH


def resize(height=48, width=64, **options):
    """Resize two smooth pictures."""
    rng = np.random.default_rng(0)
    imgs = [cv2.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8),
                       (width, height)) for _ in range(2)]
    transform = TRANSFORMS.build(dict(type='OpenCLIPResize', **options))
    transform = pickle.loads(pickle.dumps(transform))
    return imgs, transform(dict(imgs=imgs, img_shape=(height, width)))['imgs']


@pytest.mark.parametrize('arch, tag, size, expected', [
    ('ViT-B-32-quickgelu', 'openai', 224, [
        dict(type='Resize', scale=(-1, 224), interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=224)]),
    ('ViT-L-14-336', 'openai', 336, [
        dict(type='Resize', scale=(-1, 336), interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=336)]),
    ('MobileCLIP-B', 'datacompdr', 224, [
        dict(type='Resize', scale=(-1, 224)), dict(type='CenterCrop', crop_size=224)]),
    ('PE-Core-S-16-384', 'meta', 384, [
        dict(type='Resize', scale=(384, 384), keep_ratio=False)]),
    ('ViT-B-16-SigLIP2-256', None, 256, [
        dict(type='Resize', scale=(256, 256), keep_ratio=False,
             interpolation='bicubic')]),
])
def test_frames_are_resized_as_the_zoos_transforms_would(arch, tag, size, expected):
    imgs, out = resize(model=arch, pretrained=tag)
    results = dict(imgs=imgs, img_shape=(48, 64))
    for step in expected:
        results = TRANSFORMS.build(step)(results)
    assert all(x.shape == (size, size, 3) for x in out)
    assert all(np.array_equal(a, b) for a, b in zip(out, results['imgs']))


@pytest.mark.parametrize('arch, tag', [
    ('ViT-B-32-quickgelu', 'openai'), ('PE-Core-B-16', 'meta'),
    ('ViT-B-16-SigLIP2', 'webli')])
def test_frames_are_close_to_open_clips_own_pictures(arch, tag):
    """PIL, which hardly differs from OpenCV where pictures are enlarged."""
    imgs, out = resize(model=arch, pretrained=tag)
    known = open_clip.get_pretrained_cfg(arch, tag)
    preprocess = open_clip.image_transform(
        224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1),
        resize_mode=known['resize_mode'], interpolation=known['interpolation'])
    for before, after in zip(imgs, out):
        theirs = 255 * preprocess(Image.fromarray(before)).permute(1, 2, 0).numpy()
        assert np.abs(theirs - after).mean() < 1


def test_sizes_may_be_of_both_sides():
    arch = copy.deepcopy(TINY_ARCH)
    arch['vision_cfg']['image_size'] = [32, 32]
    assert resize(model=arch)[1][0].shape == (32, 32, 3)
    arch['vision_cfg']['image_size'] = [32, 48]
    with pytest.raises(InputError, match="32 x 48, resized by 'shortest'"):
        resize(model=arch)


def test_pictures_that_are_right_are_not_copied():
    imgs, out = resize(224, 224)
    assert all(a is b for a, b in zip(imgs, out))
    transform = TRANSFORMS.build(dict(type='OpenCLIPResize'))
    done = transform(dict(imgs=imgs, img_shape=(224, 224)))
    for step in transform.steps:  # what they say is the same
        results = step(dict(imgs=imgs, img_shape=(224, 224)))
        assert results.keys() <= done.keys() and done['img_shape'] == (224, 224)
    assert not np.array_equal(resize(224, 225)[1][0].shape, (224, 225, 3))


def test_the_pictures_are_openais_by_default():
    assert resize()[1][0].shape == (224, 224, 3)
    with pytest.raises(InputError, match='OpenCLIPResize: model: .*open_clip'):
        resize(model='ViT-Z')
