"""Questions to a runner that several hooks have."""
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn


def is_last_of_its_kind(hook: Hook, runner) -> bool:
    """Return True if no hook of the same class was registered after this one.

    A config may list a default hook in ``custom_hooks``: the later one counts.
    """
    return [h for h in runner.hooks if type(h) is type(hook)][-1] is hook


def model_of(runner) -> nn.Module:
    """Return a runner's model, without the wrapper of several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
