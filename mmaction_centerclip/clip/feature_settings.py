"""Settings that change a model's features, but no key or shape of its weights."""
import math
from collections.abc import Sequence

from mmengine.logging import print_log
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

SETTINGS = 'feature_settings'
"""Under this name a checkpoint's ``meta`` records them."""

# Attributes of modules, of any host, that no weight tells.
_FACTS = ('num_heads', 'scale', 'eps', 'pool_type', 'global_pool', 'context_length',
          'final_ln_after_pool', 'pad_id', 'eos_id')
_OPTIONS = dict(num_heads='head_width', activation='quick_gelu',
                lora_scale='lora_alpha / r')
# A training may start from weights of another head, or of other pipelines.
_START = ('head.', 'cls_head.', 'num_frames', 'frames_per_second', 'resizing',
          'text_backbone.context_length')


def describe_settings(model: nn.Module) -> dict[str, object]:
    """Return the settings of a model, but for its necks, as plain data."""
    found: dict[str, set] = {}
    for name, module in model.named_modules():
        part = name.partition('.')[0]
        if part == 'data_preprocessor' or '.necks.' in f'.{name}.':
            continue
        facts = {fact: getattr(module, fact, None) for fact in _FACTS}
        kind = type(module)
        if 'GELU' in kind.__name__ or kind.__module__ == nn.GELU.__module__ and (
                kind is not nn.MultiheadAttention):
            facts['activation'] = repr(module)
        scaling = getattr(module, 'scaling', None)  # peft's, by adapter
        if isinstance(scaling, dict):
            facts['lora_scale'] = next(iter(scaling.values()), None)
        for fact, value in facts.items():
            if isinstance(value, (bool, int, float, str)):
                found.setdefault(f'{part}.{fact}', set()).add(value)
    settings = {name: values.pop() if len(values) == 1 else sorted(values, key=repr)
                for name, values in found.items()}
    for name in ('mean', 'std', 'to_rgb'):
        value = getattr(getattr(model, 'data_preprocessor', None), name, None)
        if value is not None:
            settings[name] = [round(x, 3) for x in value.flatten().tolist()
                              ] if isinstance(value, Tensor) else value
    return settings


def check_settings(file: dict, own: dict[str, object], source: str,
                   allow_other: Sequence[str] | str | None = None,
                   starts: bool = False) -> None:
    """Refuse weights that were trained with other settings than a model has.

    ``allow_other`` names those that may differ, such as ``'backbone.lora_scale'`` or
    ``'lora_scale'``. ``starts`` says that a training starts from the weights, maybe
    with another head and other pipelines. Where ``file`` records nothing, the log says
    so.
    """
    recorded = kept_settings(file).get(SETTINGS)
    if recorded is None:
        print_log(f'{source} does not record with which settings it was trained: '
                  'activation, width of heads, scale of LoRA, normalisation and '
                  'resizing are taken from the config, and not checked', 'current')
        return
    if not isinstance(recorded, dict) or not all(map(_is_plain, recorded.values())):
        raise InputError(f'{source} is damaged: meta.{SETTINGS} must be a dict of '
                         'numbers, texts and lists of them')
    other = [name for name in own if name in recorded
             and not (starts and name.startswith(_START))
             and not _is_same(name, recorded[name], own[name])]
    shown = '; '.join(
        f'{name}{_option(name)} {recorded[name]!r}, here {own[name]!r}'
        for name in other)
    # One name is a text where it comes from --cfg-options.
    allowed = {allow_other} if isinstance(allow_other, str) else set(allow_other or ())
    refused = [name for name in other if not {name, name.split('.')[-1]} & allowed]
    if refused:
        advice = '' if allow_other is None else (
            f', or allow it by --allow-other {" ".join(refused)} (allow_other='
            f'{refused} of CheckCheckpointHook)')
        raise InputError(
            f'{source} was trained with other settings, which change its features: '
            f'{shown}. Use the config that it was trained with{advice}')
    if other:
        print_log(f'{source} was trained with {shown}, which is allowed', 'current')


def kept_settings(file: dict) -> dict[str, object]:
    """Return the part of a checkpoint's ``meta`` that records its settings."""
    meta = file.get('meta')
    return {SETTINGS: meta[SETTINGS]} if isinstance(
        meta, dict) and SETTINGS in meta else {}


def _option(name: str) -> str:
    option = _OPTIONS.get(name.split('.')[-1])
    return f' ({option})' if option else ''


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_plain(each) and not isinstance(each, list) for each in value)
    return isinstance(value, (bool, float, str)) or (
        isinstance(value, int) and abs(value) < 2**63)


def _is_same(name: str, found: object, own: object) -> bool:
    if isinstance(found, list) and isinstance(own, list):
        return len(found) == len(own) and all(
            _is_same(name, *pair) for pair in zip(found, own))
    if isinstance(found, float) and isinstance(own, (int, float)):
        near = 0.1 if name in ('mean', 'std') else 1e-9  # of 255
        return math.isclose(found, own, rel_tol=1e-6, abs_tol=near)
    return found == own
