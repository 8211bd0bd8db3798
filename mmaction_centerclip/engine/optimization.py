"""CenterCLIP's parameter groups and learning rate."""
import math
from collections import defaultdict

from mmaction.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
)
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from torch import nn

from mmaction_centerclip.errors import InputError, check_number

_OPTIONS = ('clip_lr_mult', 'clip_keys', 'no_decay_keys')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CLIPOptimWrapperConstructor:
    """Parameter groups as in CLIP4Clip and CenterCLIP.

    CLIP's weights, and what lies inside its towers such as a neck's embedding, learn at
    ``clip_lr_mult`` of the rate of new layers; biases do not decay, norm weights do
    (arXiv 2104.08860, Sec. 4.2, and the authors' groups). LoRA's matrices, and a
    learned projection of the videos, are new layers.

    Args:
        paramwise_cfg (dict, optional): ``clip_lr_mult`` (float, defaults to 1e-3);
            ``clip_keys`` (list[str], prefixes of the names of CLIP's parameters,
            defaults to the towers and the head's ``logit_scale`` and ``logit_bias``);
            ``no_decay_keys`` (list[str], parts of names, defaults to ``['bias']``).
    """

    def __init__(self, optim_wrapper_cfg: dict,
                 paramwise_cfg: dict | None = None) -> None:
        options = dict(paramwise_cfg or {})
        unknown = sorted(options.keys() - set(_OPTIONS))
        if unknown:
            raise InputError('paramwise_cfg of CLIPOptimWrapperConstructor '
                             f'takes {_OPTIONS}, got {unknown}')
        self.optim_wrapper_cfg = optim_wrapper_cfg
        self.clip_lr_mult = check_number(
            'clip_lr_mult', options.get('clip_lr_mult', 1e-3), lambda x: x >= 0,
            'at least 0')
        check_number('optimizer.lr', optim_wrapper_cfg['optimizer'].get('lr'),
                     lambda x: 0 < x <= 10, 'above 0 and at most 10')
        clip_grad = optim_wrapper_cfg.get('clip_grad') or {}
        for name in {'max_norm', 'clip_value'} & set(clip_grad):
            # One below zero would turn the gradients round.
            check_number(f'clip_grad.{name}', clip_grad[name], lambda x: x > 0,
                         'above 0')
        self.clip_keys = tuple(
            options.get('clip_keys',
                        ('backbone.', 'text_backbone.', 'head.logit_scale',
                         'head.logit_bias')))
        self.no_decay_keys = tuple(options.get('no_decay_keys', ('bias', )))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        if is_model_wrapper(model):
            model = model.module
        wrapper_cfg = dict(self.optim_wrapper_cfg)
        wrapper_cfg.setdefault('type', 'OptimWrapper')
        optimizer_cfg = dict(wrapper_cfg.pop('optimizer'))
        optimizer_cfg['params'] = self.param_groups(
            model, optimizer_cfg['lr'], optimizer_cfg.get('weight_decay', 0.))
        optimizer = OPTIMIZERS.build(optimizer_cfg)
        return OPTIM_WRAPPERS.build(wrapper_cfg, default_args=dict(optimizer=optimizer))

    def param_groups(self, model: nn.Module, lr: float,
                     weight_decay: float) -> list[dict]:
        """At most four groups: new and CLIP's, with and without decay.

        New parameters come first: the log shows the first group's rate.
        """
        groups = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                is_clip = name.startswith(self.clip_keys) and '.lora_' not in name
                decays = not any(key in name for key in self.no_decay_keys)
                groups[is_clip, not decays].append(parameter)
        return [dict(params=parameters, lr=lr * self.clip_lr_mult if is_clip else lr,
                     weight_decay=0. if no_decay else weight_decay)
                for (is_clip, no_decay), parameters in sorted(groups.items())]


@PARAM_SCHEDULERS.register_module()
class LinearWarmupCosineLR(LRSchedulerMixin, _ParamScheduler):
    """Warm up linearly over a share of the steps, then decay by a cosine.

    At step t of T with warm-up of w = int(``warmup_ratio`` * T) steps the rate is,
    relative to the group's own, ``floor_ratio`` + (1 - ``floor_ratio``) t / w before w,
    and after it (1 + cos(pi (t - w) / (T - w))) / 2, never below ``floor_ratio``.
    (SGDR, arXiv 1608.03983, Eq. 5, without restarts.) mmengine's ``LinearLR`` followed
    by ``CosineAnnealingLR`` reaches the peak one step earlier. ``end`` is that of the
    training, in the unit of ``begin``; required. See ``configs/_base_/schedules``.
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
