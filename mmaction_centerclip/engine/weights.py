"""Load checkpoints that are a model's, by weights and by settings."""
from mmengine.config import Config
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import (
    check_settings,
    describe_settings,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import read_checkpoint
from mmaction_centerclip.utils.weights import compare_weights

from .config_checks import pipeline_settings

__all__ = ['check_weights', 'load_checkpoint', 'settings_of']


def load_checkpoint(model: nn.Module, path: str, cfg: Config) -> None:
    """Load a checkpoint of exactly this model, in place.

    Args:
        model (nn.Module): As ``cfg`` builds it.
        path (str): A local file.
        cfg (Config): What its ``CheckCheckpointHook`` allows is allowed.

    Raises:
        InputError: If the file cannot be read, a weight does not fit, or it was
            trained with other settings, see :func:`check_settings`.
    """
    state, file, _ = read_checkpoint(path)
    check_weights(model.state_dict(), state, path)
    hook = cfg.get('default_hooks', {}).get('check_checkpoint') or {}
    check_settings(file, settings_of(model, cfg), path, hook.get('allow_other', ()))
    model.load_state_dict(state)


def settings_of(model: nn.Module, cfg: Config) -> dict[str, object]:
    """Return what changes a model's features, but no key and no shape."""
    return {**describe_settings(model), **pipeline_settings(cfg)}


def check_weights(own: dict[str, Tensor], state: dict[str, Tensor], source: str,
                  new: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Check that weights are all of a model's, and no others.

    Args:
        own (dict[str, Tensor]): The model's state dict.
        state (dict[str, Tensor]): The weights, without a wrapper's ``module.``.
        source (str): Where they are from, for messages.
        new (tuple[str, ...]): Starts of keys that need not fit. Defaults to ().

    Returns:
        tuple[list[str], list[str]]: Keys of the model that do not fit or are
        missing, and keys that the model has not; all of them are ``new``.

    Raises:
        InputError: If another key does not fit; it says what the weights are of.
    """
    missing, unknown, other = compare_weights(own, state)
    # One of another shape is new, as one that is missing.
    missing = sorted(missing + [line.split(' ')[0] for line in other])
    if any(not key.startswith(new or ('\0', )) for key in missing + unknown):
        title, advice = _describe(state, own)
        raise InputError(
            f'{source} holds {title}, of which {len(own) - len(missing)} of '
            f"the model's {len(own)} keys fit; missing "
            f'{[k for k in missing if k not in state][:3]}, not part of the '
            f'model {unknown[:3]}, of another shape or type {other[:3]}. {advice}')
    return missing, unknown


def _describe(state: dict, own: dict) -> tuple[str, str]:
    """Say what weights are of, and what to do with them."""
    adapted, wanted = (any('.lora_' in key for key in keys) for keys in (state, own))
    if adapted != wanted:
        return ('a retriever with LoRA', 'Use the config that it was trained with, or '
                'merge it with tools/model_converters/merge_lora.py'
                ) if adapted else (
                'weights without LoRA', 'A training starts from a retriever without '
                'LoRA with --cfg-options model.pretrained=FILE, a test runs it with '
                'model.lora=None')
    from mmaction_centerclip.conversion import SOURCES, detect_sources
    try:
        title = SOURCES[detect_sources(state)[0]].title
    except InputError as error:
        return str(error), 'Use the config that it was trained with'
    return title, 'Convert it with tools/model_converters/any_to_mmaction.py'
