"""Count the models of open_clip that the towers build, and compare them."""
import re
import time
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import open_clip
import torch
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from torch import Tensor, nn

from mmaction_centerclip.clip_models import clip_config
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, open_clip_vision_tower
from mmaction_centerclip.models.backbones.clip_arch import (
    text_arguments,
    vision_tower_type,
)
from mmaction_centerclip.models.retrievers import rename_clip_weights

from .measure import time_interleaved
from .reduced import reduced_arch

__all__ = ['Model', 'compare_keys', 'compare_outputs', 'compare_times', 'family_of',
           'group_families', 'survey']

FAMILIES = {
    'CoCa': 'coca_',
    'NLLB-CLIP': 'nllb-',
    'mT5 text': 'mt5-',
    'XLM-RoBERTa text': 'xlm-roberta',
    'RoBERTa text': 'roberta',
    'SigLIP 2': 'SigLIP2',
    'SigLIP': 'SigLIP',
    'PE-Core': 'PE-Core',
    'EVA-CLIP': 'EVA0',
    'MobileCLIP 2': 'MobileCLIP2',
    'MobileCLIP': 'MobileCLIP',
    'ViTamin': 'ViTamin',
    'ConvNeXt': 'convnext',
    'Swin': 'swin',
    'ResNet': 'RN',
    'CLIPA': 'CLIPA',
    'Meta CLIP 2 (worldwide)': 'worldwide',
    'ViT of timm': 'vit_',
    'ViT': 'ViT-',
}
"""What the names of a family have in common; the first that fits counts."""


@dataclass(frozen=True)
class Model:
    """One architecture of open_clip.

    Attributes:
        name (str): As ``open_clip.list_models()`` has it.
        family (str): See :func:`family_of`.
        tags (int): Pretrained weights that open_clip knows for it.
        tower (str, optional): Its video tower; None where it is refused.
        reason (str, optional): Why it is refused.
        difference (str, optional): How keys, shapes or outputs differ from
            those of open_clip's own model; None where they do not.
    """
    name: str
    family: str
    tags: int
    tower: str | None = None
    reason: str | None = None
    difference: str | None = None


def family_of(name: str) -> str:
    """Return the family of an architecture.

    Examples:
        >>> from mmaction_centerclip.benchmarking import family_of
        >>> family_of('ViT-SO400M-14-SigLIP2-378')
        'SigLIP 2'
    """
    return next((family for family, part in FAMILIES.items() if part in name), name)


def survey(name: str, depth: int | None = None) -> Model:
    """Build an architecture as our towers, and compare it with open_clip's.

    Args:
        name (str): The architecture.
        depth (int, optional): Blocks of the reduced model whose outputs are
            compared; defaults to None: keys and shapes only.
    """
    tags = len(open_clip.list_pretrained_tags_by_model(name))
    model = Model(name, family_of(name), tags)
    try:
        tower = vision_tower_type(name)
        text_arguments(name)
    except InputError as error:
        reason = str(error).removeprefix(f'arch {name!r}: ').partition(';')[0]
        return replace(model, reason=re.sub(r' \(.*?\)', '', reason))
    difference = compare_keys(name)
    if difference is None and depth:
        difference = compare_outputs(name, depth)
    return replace(model, tower=tower, difference=difference)


def compare_keys(arch: str | dict) -> str | None:
    """Compare keys and shapes with open_clip's model, without memory for either.

    Open_clip's are named as for loading, see :func:`rename_clip_weights`.

    Args:
        arch (str | dict): See :func:`clip_config`.

    Returns:
        str | None: The first difference, None if there is none.
    """
    with torch.device('meta'):
        theirs = _shapes(_renamed(_open_clip_model(arch)))
        ours = _shapes({f'{part}.{key}': value for part, tower in _towers(arch).items()
                        for key, value in tower.state_dict().items()})
    ours['head.logit_scale'] = ()
    if 'head.logit_bias' in theirs:
        ours['head.logit_bias'] = ()
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            return f'{key}: {ours.get(key)} here, {theirs.get(key)} in open_clip'
    return None


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple]:
    return {key: tuple(value.shape) for key, value in state.items()}


@torch.no_grad()
def compare_outputs(arch: str | dict, depth: int) -> str | None:
    """Compare the features of a reduced model with open_clip's, to the last bit.

    Both have the same random weights, see :func:`reduced_arch`; the towers
    have no necks. There are two frames and two captions.

    Args:
        arch (str | dict): See :func:`clip_config`.
        depth (int): Blocks of each tower.

    Returns:
        str | None: Which features differ, None if none do.
    """
    arch = reduced_arch(arch, layers=depth)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = _open_clip_model(arch).eval()
        for key, parameter in theirs.named_parameters():
            if parameter.ndim and 'norm' not in key:
                nn.init.normal_(parameter, std=0.2)
        towers, state = _towers(arch), _renamed(theirs)
        for part, tower in towers.items():
            tower.eval().load_pretrained(
                {key.removeprefix(f'{part}.'): value for key, value in state.items()
                 if key.startswith(f'{part}.')}, "open_clip's model")
        vision, text = towers.values()
        imgs = torch.randn(1, 2, 3, *vision.image_size)
        ids = torch.randint(3, 999, (2, text.context_length))
    pairs = dict(video=(vision.encode(imgs)[0][0], theirs.encode_image(imgs[0])),
                 text=(text(ids).sentence, theirs.encode_text(ids)))
    for name, (got, expected) in pairs.items():
        if not torch.equal(got, expected):
            return f'{name} features differ by {(got - expected).abs().max():.3g}'
        if torch.equal(got[0], got[1]) or not got.isfinite().all():
            return f'{name} features say nothing: {got}'
    return None


def compare_times(arch: str | dict, frames: int = 4, repeats: int = 15
                  ) -> dict[str, float]:
    """Time a video tower without necks beside open_clip's own on its frames.

    Args:
        arch (str | dict): See :func:`clip_config`; weights are random.
        frames (int): Of the one video. Defaults to 4.
        repeats (int): Timed calls of each, in turns. Defaults to 15.

    Returns:
        dict[str, float]: Processor time in milliseconds of ``here`` and
        ``open_clip``, medians, and their ``ratio``.
    """
    tower, stock = open_clip_vision_tower(arch).eval(), _open_clip_model(arch).visual
    imgs = torch.randn(1, frames, 3, *tower.image_size)
    calls = dict(here=partial(tower.encode, imgs),
                 open_clip=partial(stock.eval(), imgs[0]))
    times = time_interleaved(calls, repeats, clock=time.process_time)
    return dict(times, ratio=times['here'] / times['open_clip'])


def _open_clip_model(arch: str | dict) -> nn.Module:
    """Build open_clip's own model, as its factory does, with random weights."""
    config = deepcopy(clip_config(arch))
    cls = CustomTextCLIP if config.pop('custom_text', False) else CLIP
    return cls(**config)


def _renamed(model: nn.Module) -> dict[str, Tensor]:
    return rename_clip_weights(convert_to_custom_text_state_dict(model.state_dict()))


def _towers(arch: str | dict) -> dict[str, nn.Module]:
    return dict(backbone=open_clip_vision_tower(arch),
                text_backbone=CLIPTextTower(arch))


def group_families(models: Iterable[Model]) -> list[list]:
    """Count architectures and tags of each family, by tower or reason.

    Args:
        models (Iterable[Model]): Of :func:`survey`.

    Returns:
        list[list]: Rows of family, architectures, tags, and the tower, or
        why there is none; those that build first, then the largest.
    """
    rows: dict[tuple, list] = {}
    for model in models:
        key = model.tower is None, model.family, model.tower or model.reason
        row = rows.setdefault(key, [model.family, 0, 0, model.tower or model.reason])
        row[1] += 1
        row[2] += model.tags
    return [rows[key] for key in sorted(rows, key=lambda k: (k[0], -rows[k][1], k[1]))]
