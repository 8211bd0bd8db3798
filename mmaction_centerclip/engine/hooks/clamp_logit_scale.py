"""Keep CLIP's temperature in its range."""
import math

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmaction_centerclip.errors import check_number

from .last_of_its_kind import is_last_of_its_kind

__all__ = ['ClampLogitScaleHook']


@HOOKS.register_module()
class ClampLogitScaleHook(Hook):
    """Clamp the head's ``logit_scale`` after every step.

    CLIP (arXiv 2103.00020), Sec. 2.5, clips the scale at 100 to prevent
    training instability; CenterCLIP also keeps its logarithm above 0.1. A
    head with a ``logit_bias`` is left alone: SigLIP (arXiv 2303.15343), Alg. 1,
    clips nothing.

    Args:
        min (float): Lowest logarithm of the scale. Defaults to 0.1.
        max (float): Highest. Defaults to ln(100).

    Raises:
        InputError: If one is not finite, or ``min`` exceeds ``max``.
    """

    def __init__(self, min: float = 0.1, max: float = math.log(100)) -> None:
        self.max = check_number('ClampLogitScaleHook: max', max,
                                lambda x: x <= 700, 'at most 700')
        self.min = check_number('ClampLogitScaleHook: min', min,
                                lambda x: x <= max, f'at most max={max!r}')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        """Clamp in place, as the optimizer would change it."""
        if not is_last_of_its_kind(self, runner):
            return
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if getattr(model.head, 'logit_bias', None) is not None:
            return
        with torch.no_grad():
            model.head.logit_scale.clamp_(self.min, self.max)
