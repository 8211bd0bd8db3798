"""Split the towers' weights over the processes of a training: FSDP2 for MMEngine."""
import os.path as osp
from collections.abc import Callable
from typing import Literal

import torch
from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import STRATEGIES
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.pipelines import step_type
from mmaction_centerclip.utils.weights import split_sharded, total_norm, whole

from .runner import shorten_log
from .sharded_towers import ShardedTowers

# What these do with a model needs it whole, in one process.
_REFUSED_HOOKS = ('EMAHook', 'TokenVisualizationHook')


def check_strategy(cfg: Config) -> None:
    """Refuse a config of which :class:`FullyShardStrategy` would do a part only."""
    if step_type(cfg.get('strategy')) != FullyShardStrategy.__name__:
        return
    if cfg.get('runner_type') != 'FlexibleRunner':
        raise InputError("strategy FullyShardStrategy needs runner_type='FlexibleRunner"
                         f"', got {cfg.get('runner_type', 'RetrievalRunner')!r}")
    hooks = [*(cfg.get('default_hooks') or {}).values(),
             *(cfg.get('custom_hooks') or ())]
    for name in map(step_type, hooks):
        if name in _REFUSED_HOOKS:
            raise InputError(f'FullyShardStrategy does not go with {name}, which needs '
                             'the model whole while it trains')


@STRATEGIES.register_module()
class FullyShardStrategy(DDPStrategy):
    """Train with a share of the towers' weights in each process, by ``fully_shard``.

    For ``runner_type='FlexibleRunner'``. Each of N processes holds 1 / N of the towers'
    weights, of their gradients and of the optimizer's state. One block is put together
    at a time, in the forward and in the backward pass; what a tower has beside blocks,
    for all of its pass (FSDP, arXiv 2304.11277, Sec. 3.2). The rest of the model, such
    as the head, is whole in each process, its gradients averaged as by DDP. So are the
    towers while the model evaluates, since processes then differ in what they run.
    Checkpoints are whole, as those of other trainings, which can go on from them, and
    the other way round. Without a launcher nothing is split.

    Args:
        param_dtype (str, optional): ``'bfloat16'`` runs the towers in it; weights, sums
            of gradients, features and the optimizer stay float32. Defaults to None.
        reshard_after_forward (bool): Whether a block is put together anew for the
            backward pass; else it stays whole until then. Defaults to True.

    Other options are those of mmengine's ``DDPStrategy``.
    """

    def __init__(self, *, param_dtype: Literal['bfloat16'] | None = None,
                 reshard_after_forward: bool = True, **kwargs) -> None:
        if param_dtype not in (None, 'bfloat16'):
            raise InputError("strategy: param_dtype must be None or 'bfloat16', got "
                             f'{param_dtype!r}')
        if not hasattr(FSDPModule, 'set_force_sum_reduction_for_comms'):
            raise InputError('FullyShardStrategy needs torch 2.8 or later, got '
                             f'{torch.__version__}')
        super().__init__(**kwargs)
        self.param_dtype = param_dtype
        self.reshard_after_forward = reshard_after_forward
        self._towers: ShardedTowers | None = None

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build mmengine's logger, with what is long in its file only."""
        return shorten_log(super().build_logger(*args, **kwargs),
                           osp.join(self.log_dir, f'{self.timestamp}.log'))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Build a model; an error names that part of the config."""
        with config_errors('model'):
            return super().build_model(model)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Split the towers, on their way to the device, and average the rest."""
        if not self.distributed:
            return SingleDeviceStrategy._wrap_model(self, model)
        model = self.convert_model(model)
        policy = MixedPrecisionPolicy()
        if self.param_dtype:
            policy = MixedPrecisionPolicy(
                getattr(torch, self.param_dtype), torch.float32, torch.float32)
        self._towers = ShardedTowers(
            model, get_device(), policy, self.reshard_after_forward)
        return model.to(get_device())

    def build_optim_wrapper(self, optim_wrapper, model=None) -> OptimWrapper:
        """Build an optimizer that takes split parameters beside whole ones."""
        with config_errors('optim_wrapper'):
            wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if self._towers is None:
            return wrapper
        if isinstance(wrapper, (AmpOptimWrapper, OptimWrapperDict)):
            raise InputError(
                f'FullyShardStrategy goes with one OptimWrapper, got '
                f"{type(wrapper).__name__}; for bfloat16 write strategy=dict(type="
                "'FullyShardStrategy', param_dtype='bfloat16')")
        take_both_kinds(wrapper)
        return wrapper

    def save_checkpoint(self, filename: str, *, save_optimizer: bool = True,
                        save_param_scheduler: bool = True,
                        extra_ckpt: dict | None = None,
                        callback: Callable | None = None) -> None:
        """Write a whole checkpoint, from the main process; all must call this."""
        if is_main_process():
            SingleDeviceStrategy.save_checkpoint(
                self, filename, save_optimizer=save_optimizer,
                save_param_scheduler=save_param_scheduler, extra_ckpt=extra_ckpt,
                callback=callback)
            return
        # Take part in what is gathered, in the same order.
        self.model_state_dict()
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            self.optim_state_dict()
        if callback is not None:
            callback({'state_dict': {}, 'meta': {}, **(extra_ckpt or {})})

    def model_state_dict(self) -> dict:
        """Return the weights, whole on the CPU; each None but in the main process."""
        state = self.model.state_dict()
        for name, value in state.items():
            state[name] = _gather(value)
        if self._towers is not None:
            self._towers.follow(self.model.training)  # state_dict() has split them
        return state

    def optim_state_dict(self) -> dict:
        """Return the optimizer's state, as :meth:`model_state_dict` the weights."""
        state = super().optim_state_dict()
        return {**state, 'state': {
            number: {name: _gather(value) for name, value in values.items()}
            for number, values in state['state'].items()}}

    def load_checkpoint(self, filename: str, *, map_location='cpu', **kwargs) -> dict:
        """Load a whole checkpoint, which every process reads to the CPU."""
        with config_errors(f'{filename} cannot be loaded'):
            return super().load_checkpoint(filename, map_location='cpu', **kwargs)

    def load_model_state_dict(self, state_dict: dict, **kwargs) -> None:
        """Load whole weights."""
        own = self.model.state_dict()
        super().load_model_state_dict(
            {name: _split_as(value, own.get(name.removeprefix('module.')))
             for name, value in state_dict.items()}, **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load an optimizer's whole state."""
        parameters = [parameter for group in self.optim_wrapper.optimizer.param_groups
                      for parameter in group['params']]
        super().load_optim_state_dict({**state_dict, 'state': {
            number: {name: _split_as(value, parameters[number])
                     for name, value in values.items()}
            for number, values in state_dict['state'].items()}})


def _gather(value: object) -> object:
    if not isinstance(value, Tensor):
        return value
    value = whole(value)
    return value.cpu() if is_main_process() else None


def _split_as(value: object, own: object) -> object:
    """Return a whole tensor split as a model's own is, where it has its shape."""
    if not isinstance(own, DTensor) or not isinstance(
            value, Tensor) or value.shape != own.shape:
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def take_both_kinds(wrapper: OptimWrapper) -> None:
    """Make an optimizer step and clip parameters of which some are split.

    torch's functions of many tensors take those, or others, but not both at once.
    """
    def part_groups(optimizer: Optimizer, *_) -> None:
        optimizer.joined_groups = optimizer.param_groups
        optimizer.param_groups = [
            dict(group, params=part) for group in optimizer.param_groups
            for part in split_sharded(group['params'])]

    def join_groups(optimizer: Optimizer, *_) -> None:
        optimizer.param_groups = optimizer.joined_groups

    def clip_values(parameters: list[nn.Parameter], **options) -> None:
        for part in split_sharded(parameters):
            nn.utils.clip_grad_value_(part, **options)

    def clip_norm(parameters: list[nn.Parameter], max_norm: float,
                  norm_type: float = 2.0, **options) -> Tensor:
        norm = total_norm([p.grad for p in parameters], norm_type, **options)
        for part in split_sharded(parameters):
            nn.utils.clip_grads_with_norm_(part, max_norm, norm)
        return norm

    wrapper.optimizer.register_step_pre_hook(part_groups)
    wrapper.optimizer.register_step_post_hook(join_groups)
    if wrapper.clip_grad_kwargs:
        wrapper.clip_func = clip_values if wrapper.grad_name == 'grad_value' else (
            clip_norm)
