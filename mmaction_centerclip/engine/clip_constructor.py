"""Two learning rates: CLIP's pretrained weights, and everything new."""
from collections import defaultdict

from mmaction.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from mmaction_centerclip.errors import InputError, check_number

__all__ = ['CLIPOptimWrapperConstructor']

_OPTIONS = ('clip_lr_mult', 'clip_keys', 'no_decay_keys')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CLIPOptimWrapperConstructor:
    """Parameter groups as in CLIP4Clip and CenterCLIP.

    CLIP's weights, and what lies inside its towers such as a neck's
    embedding, learn at ``clip_lr_mult`` of the rate of new layers; biases do
    not decay, norm weights do (arXiv 2104.08860, Sec. 4.2, and the authors'
    groups). LoRA's matrices, and a learned projection of the videos, are new
    layers.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper, with the
            ``optimizer``.
        paramwise_cfg (dict, optional): ``clip_lr_mult`` (float, defaults to
            1e-3); ``clip_keys`` (list[str], prefixes of the names of
            CLIP's parameters, defaults to the towers and the head's
            ``logit_scale`` and ``logit_bias``, which SigLIP's weights have);
            ``no_decay_keys`` (list[str], parts of the names without decay,
            defaults to ``['bias']``). Defaults to None.

    Raises:
        InputError: If ``paramwise_cfg`` has another option, or a number is out
            of range.
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
        """Build the optimizer of a model's trainable parameters."""
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
