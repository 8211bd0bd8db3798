"""Look up what pictures a model of open_clip was trained on."""
import os
from collections.abc import Sequence

import numpy as np
import open_clip

from mmaction_centerclip.clip_models import clip_config
from mmaction_centerclip.errors import InputError

__all__ = ['check_normalization', 'describe_resizing', 'pictures_for', 'pictures_of']


def pictures_of(arch: str | dict, pretrained: str | None) -> dict | None:
    """Look up the pictures that pretrained weights were trained with.

    Args:
        arch (str | dict): See :func:`clip_config`.
        pretrained (str, optional): A tag of open_clip, or a local file.

    Returns:
        dict | None: ``mean`` and ``std`` of 8-bit channels, ``interpolation``,
        ``resize_mode`` and ``image_size``; None if nothing is known of it, as
        of a local file.
    """
    if not pretrained or not isinstance(arch, str) or os.path.exists(pretrained):
        return None
    known = open_clip.get_pretrained_cfg(arch, pretrained)
    if not known:
        return None
    return dict(mean=[round(255 * x, 3) for x in known['mean']],
                std=[round(255 * x, 3) for x in known['std']],
                interpolation=known['interpolation'], resize_mode=known['resize_mode'],
                image_size=clip_config(arch)['vision_cfg'].get('image_size', 224))


def pictures_for(arch: str | dict, pretrained: str | None) -> dict:
    """Say what pictures to give a model.

    Those of its tag. Where it has none, as with a local file, those that all
    of the architecture's tags agree on, else those of OpenAI's CLIP.

    Args:
        arch (str | dict): See :func:`clip_config`.
        pretrained (str, optional): A tag of open_clip, or a local file.

    Returns:
        dict: As of :func:`pictures_of`.
    """
    known = pictures_of(arch, pretrained)
    if known is None and isinstance(arch, str):
        tags = open_clip.list_pretrained_tags_by_model(arch)
        candidates = [pictures_of(arch, tag) for tag in tags]
        if candidates and candidates.count(candidates[0]) == len(candidates):
            known = candidates[0]
    if known is None:
        size = clip_config(arch)['vision_cfg'].get('image_size', 224)
        known = dict(pictures_of('ViT-B-32-quickgelu', 'openai'), image_size=size)
    return known


def describe_resizing(pictures: dict) -> str:
    """Name how pictures of :func:`pictures_for` are resized."""
    return f'{pictures["resize_mode"]}, {pictures["interpolation"]}'


def check_normalization(arch: str | dict, pretrained: str | None,
                        mean: Sequence[float] | None,
                        std: Sequence[float] | None) -> None:
    """Refuse another normalisation of frames than weights were trained with.

    Args:
        arch (str | dict): See :func:`clip_config`.
        pretrained (str, optional): A tag of open_clip; others are not checked.
        mean (Sequence[float], optional): The data preprocessor's.
        std (Sequence[float], optional): The data preprocessor's.

    Raises:
        InputError: If either differs by more than 0.1 of 255.
    """
    known = pictures_of(arch, pretrained)
    if known is None:
        return
    expected = dict(mean=known['mean'], std=known['std'])
    own = {key: None if values is None else [round(x, 3) for x in values]
           for key, values in (('mean', mean), ('std', std))}
    if None in own.values() or not all(
            np.allclose(own[key], expected[key], rtol=0, atol=0.1) for key in own):
        raise InputError(
            f'pretrained={pretrained!r} for arch {arch!r} was trained with '
            f'{expected}; data_preprocessor has {own}; write '
            f'data_preprocessor={expected}')
