"""Keep a training's numbers in their range: finite weights, CLIP's temperature."""
import math

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook

from mmaction_centerclip.engine.runner import is_last_of_its_kind, model_of
from mmaction_centerclip.errors import InputError, check_number, check_positive_int
from mmaction_centerclip.utils.weights import total_norm, whole


@HOOKS.register_module()
class CheckFiniteHook(Hook):
    """Stop at the first loss or weight that is not finite.

    A gradient that is not finite shows in the weights of the same iteration. A check
    waits for the accelerator, and is made every ``interval`` iterations and before a
    checkpoint is saved.
    """
    priority = 'HIGH'  # Before averages are updated and checkpoints saved.

    def __init__(self, interval: int = 1) -> None:
        self.interval = check_positive_int('CheckFiniteHook: interval', interval)
        self._files: list[str] = []

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        samples = data_batch.get('data_samples', ()) if isinstance(
            data_batch, dict) else ()
        self._files = [str(s.get('filename')) for s in samples if 'filename' in s]
        if not self.every_n_train_iters(runner, self.interval):
            return
        for name, value in (outputs or {}).items():
            if isinstance(value, torch.Tensor) and not value.isfinite().all():
                self._stop(runner, runner.iter + 1, f'{name} is {value.tolist()}')
        self._check_weights(runner, runner.iter + 1)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        self._check_weights(runner, runner.iter)

    def _check_weights(self, runner, iteration: int) -> None:
        weights = [p for p in runner.model.parameters() if p.requires_grad]
        if not weights or total_norm(weights).isfinite():
            return
        bad = [name for name, p in runner.model.named_parameters()
               if not whole(p).isfinite().all()]
        if bad:
            self._stop(runner, iteration, f'{len(bad)} weights are not finite, '
                       f'the first being {bad[0]}')

    def _stop(self, runner, iteration: int, reason: str) -> None:
        files = ', '.join(self._files[:5])
        if len(self._files) > 5:
            files += f' and {len(self._files) - 5} more'
        raise InputError(
            f'training stopped in epoch {runner.epoch + 1}, iteration '
            f'{iteration}, before anything is saved: {reason}; the batch has '
            f'{files or "no named files"}. Lower the learning rate, or look at '
            'the files and at the weights that it started from')


@HOOKS.register_module()
class ClampLogitScaleHook(Hook):
    """Clamp the logarithm of the head's ``logit_scale`` after every step.

    CLIP (arXiv 2103.00020), Sec. 2.5, clips the scale at 100; CenterCLIP also keeps its
    logarithm above 0.1. A head with a ``logit_bias`` is left alone: SigLIP (arXiv
    2303.15343), Alg. 1, clips nothing.
    """

    def __init__(self, min: float = 0.1, max: float = math.log(100)) -> None:
        self.max = check_number('ClampLogitScaleHook: max', max,
                                lambda x: x <= 700, 'at most 700')
        self.min = check_number('ClampLogitScaleHook: min', min,
                                lambda x: x <= max, f'at most max={max!r}')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None,
                         outputs=None) -> None:
        if not is_last_of_its_kind(self, runner):
            return
        head = model_of(runner).head
        if getattr(head, 'logit_bias', None) is not None:
            return
        with torch.no_grad():
            head.logit_scale.clamp_(self.min, self.max)
