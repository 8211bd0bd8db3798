"""Look up what open_clip knows of a model: its sizes and its tokenizer."""
import json
import os
from collections.abc import Callable
from copy import deepcopy

import open_clip
from open_clip.tokenizer import HFTokenizer

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import PositiveInt, check_options

BPE, BPE_END = "open_clip's BPE", 49407  # its own tokenizer, the end token
_TOKENIZERS: dict[str, Callable] = {}


def clip_config(arch: str | dict) -> dict:
    """Return a copy of the sizes of a CLIP model.

    Of a name of ``open_clip.list_models()``, or of a dict of the form of
    ``open_clip.get_model_config``; for OpenAI's weights with ``quick_gelu=True``.
    """
    if isinstance(arch, str):
        try:
            config = open_clip.get_model_config(arch)
        except Exception as error:  # of a folder's file, or of a hub's client
            raise InputError(
                f'arch {arch!r} cannot be read ({_summary(error)})') from error
        if config is None:
            close = [name for name in open_clip.list_models()
                     if arch.replace('/', '-').lower() in name.lower()]
            raise InputError(
                f'arch must be a model of open_clip, got {arch!r}. '
                f'Similar names: {close[:8] or open_clip.list_models()[:8]}')
    else:
        config = deepcopy(dict(arch))
    missing = {'embed_dim', 'vision_cfg', 'text_cfg'} - config.keys()
    if missing:
        raise InputError(f'arch lacks {sorted(missing)}, got {config!r}')
    check_options('arch', _sizes, config)
    return config


def _sizes(embed_dim: PositiveInt, vision_cfg: dict, text_cfg: dict,
           quick_gelu: bool = False) -> None:
    """Name the types of what every architecture has."""


def stored_config(place: str) -> dict:
    """Read what ``open_clip_config.json`` of a model says, if there is such a file.

    ``place`` is a folder, or an ``arch`` that starts with ``local-dir:`` or
    ``hf-hub:``.
    """
    path = os.path.join(place.removeprefix('local-dir:'), 'open_clip_config.json')
    try:
        if place.startswith('hf-hub:'):
            path = open_clip.download_pretrained_from_hf(
                place.removeprefix('hf-hub:'), filename='open_clip_config.json')
        if not os.path.isfile(path):
            return {}
        with open(path, encoding='utf-8') as file:
            config = json.load(file)
    except Exception as error:  # of a damaged file, or of a hub's client
        raise InputError(f'{path} cannot be read ({_summary(error)})') from error
    if not isinstance(config, dict) or not all(
            isinstance(config.get(name, {}), dict)
            for name in ('model_cfg', 'preprocess_cfg')):
        raise InputError(f'{path} must hold a dict with those of model_cfg and '
                         'preprocess_cfg')
    return config


def tokenizer_of(arch: str | dict) -> str:
    """Name the tokenizer that a model takes its token ids from.

    By name, vocabulary size and options: equal names give equal ids.
    """
    text = clip_config(arch)['text_cfg']
    name = text.get('hf_tokenizer_name')
    if name and isinstance(arch, str) and arch.startswith('local-dir:'):
        name = arch  # where open_clip looks for it, whatever its name
    size = text.get('vocab_size', open_clip.CLIPTextCfg.vocab_size)
    options = [text.get('tokenizer_mode'), text.get('tokenizer_kwargs')]
    options = f' {json.dumps(options, sort_keys=True)}' if any(options) else ''
    return f'{name or BPE} ({size} tokens){options}'


def context_length_of(arch: str | dict, at_most: int | None = None) -> int:
    """Return the model's context length, start and end token included.

    At most ``at_most``, unless the feature is that of the last position, as SigLIP's.
    """
    text = clip_config(arch)['text_cfg']
    if at_most is not None and text.get('pool_type') != 'last':
        return at_most
    return text.get('context_length', open_clip.CLIPTextCfg.context_length)


def check_tokenizer(name: str, arch: str | dict) -> None:
    """Refuse captions that the tokenizer of this name cut for another model."""
    expected = tokenizer_of(arch)
    if name != expected:
        model = repr(arch) if isinstance(arch, str) else "the model's arch"
        raise InputError(
            f'the captions are tokenized by {name}, but arch {arch!r} takes '
            f"{expected}; write dict(type='OpenCLIPTokenize', model={model})")


def build_tokenizer(arch: str | dict) -> Callable:
    """Return the tokenizer of a model, built once in a process."""
    name = tokenizer_of(arch)
    if name not in _TOKENIZERS:
        try:
            _TOKENIZERS[name] = _load_tokenizer(arch)
        except InputError:
            raise
        except ImportError as error:
            raise InputError(
                f'the tokenizer {name} needs a package that is not installed '
                f'({error.name or _summary(error)}); install '
                "'mmaction_centerclip[hf]'") from error
        except Exception as error:  # of whichever client its host needs
            raise InputError(
                f'the tokenizer {name} cannot be loaded ({_summary(error)}); '
                'load it once with a network, or give the folder of a copy as '
                'text_cfg.hf_tokenizer_name of a dict as arch') from error
    return _TOKENIZERS[name]


def _load_tokenizer(arch: str | dict) -> Callable:
    text = clip_config(arch)['text_cfg']
    options = text.get('tokenizer_kwargs') or {}
    if options.get('trust_remote_code'):
        raise InputError(
            f'arch {arch!r}: tokenizer_kwargs must not have trust_remote_code, '
            'which runs what a tokenizer brings along')
    if isinstance(arch, str):
        tokenizer = open_clip.get_tokenizer(arch)
    elif text.get('hf_tokenizer_name'):
        tokenizer = HFTokenizer(text['hf_tokenizer_name'],
                                tokenizer_mode=text.get('tokenizer_mode'), **options)
    else:
        tokenizer = open_clip.SimpleTokenizer(**options)
    size = text.get('vocab_size', open_clip.CLIPTextCfg.vocab_size)
    if getattr(tokenizer, 'vocab_size', size) != size:
        raise InputError(
            f'arch {arch!r}: {BPE} has {tokenizer.vocab_size} tokens, the '
            f'vocabulary of the model {size}; which tokenizer it was trained '
            'with must be said by text_cfg.hf_tokenizer_name')
    return tokenizer


def _summary(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())}'[:200]
