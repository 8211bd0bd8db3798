"""Preprocessing (size, mean, std, resize mode) of open_clip models."""
import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
import open_clip
from mmengine.logging import print_log
from open_clip.transform import PreprocessCfg

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.utils.option_types import check_types

from .models import clip_config, stored_config


@check_types
def pretrained_preprocessing(arch: str | dict, pretrained: str | None) -> dict | None:
    """Return the preprocessing that pretrained weights were trained with.

    ``mean`` and ``std`` of 8-bit channels, ``interpolation``, ``resize_mode`` and
    ``image_size``; None if nothing is known of it, as of most local files.
    ``pretrained`` is a tag, or a file, with maybe an ``open_clip_config.json`` beside
    it.
    """
    if not pretrained:
        return None
    if os.path.exists(pretrained):
        known = stored_config(os.path.dirname(pretrained)).get('preprocess_cfg')
    else:
        known = isinstance(arch, str) and open_clip.get_pretrained_cfg(arch, pretrained)
    return _pictures(arch, known) if known else None


def preprocessing_for(arch: str | dict, pretrained: str | None) -> dict:
    """Return the preprocessing to give a model, assumed where nothing says it.

    That of its weights. Where they have none, as a local file, that of the folder that
    ``arch`` names, of the tag whose file has this name, or of all of the architecture's
    tags if they agree; else, as the log says, OpenAI's.
    """
    known = pretrained_preprocessing(arch, pretrained)
    if known is None and isinstance(arch, str):
        tags = open_clip.list_pretrained_tags_by_model(arch)
        candidates = [pretrained_preprocessing(arch, tag) for tag in tags
                      if pretrained and _is_file_of(arch, tag, pretrained)]
        candidates = candidates or [pretrained_preprocessing(arch, tag) for tag in tags]
        stored = stored_config(arch).get('preprocess_cfg') if ':' in arch else None
        if stored:
            known = _pictures(arch, stored)
        elif candidates and candidates.count(candidates[0]) == len(candidates):
            known = candidates[0]
    if known is None:
        known = _pictures(arch, {})
        if pretrained:
            _log_once(f'pretrained={pretrained!r} does not say what pictures it was '
                      "trained with: OpenAI's mean and std and the resizing "
                      f'{describe_resizing(known)!r} are assumed')
    return known


def _is_file_of(arch: str, tag: str, path: str) -> bool:
    """Return True if a file has the name of a tag's download, or its hub's folder."""
    known = open_clip.get_pretrained_cfg(arch, tag)
    hub = '--'.join(['models', *known.get('hf_hub', '').split('/')[:2]])
    return os.path.basename(path) == os.path.basename(
        known.get('url', '')) or hub in path.split(os.sep)


def _pictures(arch: str | dict, preprocessing: dict) -> dict:
    """Take what a tag or a file says of preprocessing; the rest is OpenAI's."""
    with named_errors(f'the preprocessing of arch {arch!r}'):
        known = _check_preprocessing(**{
            **asdict(PreprocessCfg()), **{str(k): v for k, v in preprocessing.items()}})
    size = clip_config(arch)['vision_cfg'].get('image_size', 224)
    return dict(known, image_size=size)


@check_types
def _check_preprocessing(
        mean: tuple[float, float, float], std: tuple[float, float, float],
        interpolation: Literal['bilinear', 'bicubic', 'random'],
        resize_mode: Literal['shortest', 'longest', 'squash'], **_) -> dict:
    return dict(mean=[round(255 * x, 3) for x in mean],
                std=[round(255 * x, 3) for x in std], interpolation=interpolation,
                resize_mode=resize_mode)


@functools.cache
def _log_once(text: str) -> None:
    print_log(text, 'current', logging.WARNING)


def describe_resizing(pictures: dict) -> str:
    """Name how pictures of :func:`preprocessing_for` are resized."""
    return f'{pictures["resize_mode"]}, {pictures["interpolation"]}'


def check_normalization(known: dict | None, source: str,
                        mean: Sequence[float] | None,
                        std: Sequence[float] | None) -> None:
    """Refuse a normalisation that is off by more than 0.1 of 255."""
    if known is None:
        return
    expected = dict(mean=known['mean'], std=known['std'])
    own = {key: None if values is None else [round(x, 3) for x in values]
           for key, values in (('mean', mean), ('std', std))}
    if None in own.values() or not all(
            np.allclose(own[key], expected[key], rtol=0, atol=0.1) for key in own):
        raise InputError(f'{source} was trained with {expected}; data_preprocessor has '
                         f'{own}; write data_preprocessor={expected}')
