"""CenterCLIP's learning rate: linear warm-up, then half a cosine."""
import math

from mmaction.registry import PARAM_SCHEDULERS
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from mmaction_centerclip.errors import InputError

__all__ = ['LinearWarmupCosineLR']


@PARAM_SCHEDULERS.register_module()
class LinearWarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Warm up linearly over a share of the steps, then decay by a cosine.

    At step t of T with warm-up of w = int(``warmup_ratio`` * T) steps the
    rate is, relative to the group's own, ``floor_ratio`` + (1 -
    ``floor_ratio``) t / w before w, and after it (1 + cos(pi (t - w) /
    (T - w))) / 2, never below ``floor_ratio``. (SGDR, arXiv 1608.03983,
    Eq. 5, without restarts.) mmengine's ``LinearLR`` followed by
    ``CosineAnnealingLR`` reaches the peak one step earlier.

    Args:
        optimizer (Optimizer or OptimWrapper): Wrapped optimizer.
        warmup_ratio (float): Share of the steps, from 0 to 1 exclusive.
            Defaults to 0.1.
        floor_ratio (float): Lowest rate relative to the group's own; also
            where the warm-up starts. Defaults to 0.
        begin (int): First step, or epoch. Defaults to 0.
        end (int): End of the training, in the same unit; required.
        **kwargs: ``last_step``, ``by_epoch`` and ``verbose`` as in mmengine.

    Raises:
        InputError: If ``end`` is not given, or ``begin`` or a ratio is out of
            range.

    Examples:
        >>> # In a config, for five epochs:
        >>> param_scheduler = dict(
        ...     type='LinearWarmupCosineLR', warmup_ratio=0.1, by_epoch=True,
        ...     begin=0, end=5, convert_to_iter_based=True)
    """

    def __init__(self, optimizer, warmup_ratio: float = 0.1, floor_ratio: float = 0.0,
                 begin: int = 0, end: int = INF, **kwargs) -> None:
        if end >= INF:
            raise InputError('LinearWarmupCosineLR needs `end`, the number of '
                             f'steps or epochs of the training, got {end!r}')
        for name, ratio in (('warmup_ratio', warmup_ratio), ('floor_ratio',
                                                             floor_ratio)):
            if not 0 <= ratio < 1:
                raise InputError(f'{name} must be in [0, 1), got {ratio!r}')
        if begin < 0:
            raise InputError(f'begin must not be negative, got {begin!r}')
        self.warmup = int(warmup_ratio * (end - begin))
        self.floor_ratio = floor_ratio
        super().__init__(optimizer, begin=begin, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args, begin=0, end=INF, by_epoch=True,
                              epoch_length=None, **kwargs):
        """Build an iteration-based scheduler from an epoch-based config."""
        if not by_epoch or not epoch_length:
            raise InputError('convert_to_iter_based needs by_epoch=True and a '
                             f'positive epoch length, got {by_epoch!r} and '
                             f'{epoch_length!r} batches (with drop_last=True, a batch '
                             'must not have more samples than there are)')
        if end < INF:
            end = int(end * epoch_length)
        return cls(*args, begin=int(begin * epoch_length), end=end, by_epoch=False,
                   **kwargs)

    def _get_value(self) -> list:
        step, steps = self.last_step, self.end - self.begin
        if step < self.warmup:
            factor = self.floor_ratio + (1 - self.floor_ratio) * step / self.warmup
        else:
            progress = (step - self.warmup) / (steps - self.warmup)
            factor = 0.5 * (1 + math.cos(math.pi * progress))
        factor = max(factor, self.floor_ratio)
        return [base * factor for base in self.base_values]
