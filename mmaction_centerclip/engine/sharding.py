"""Split the towers' weights over the processes of a training: FSDP2 for MMEngine."""
import os.path as osp
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from mmengine._strategy import DDPStrategy, SingleDeviceStrategy
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_main_process
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import STRATEGIES
from torch import Tensor, nn
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.weights import split_sharded, total_norm, whole

from .runner import shorten_log


@STRATEGIES.register_module()
class FullyShardStrategy(DDPStrategy):
    """Train with a share of the towers' weights in each process, by ``fully_shard``.

    For ``runner_type='FlexibleRunner'``. Each process holds one part in as many of the
    weights, of their gradients and of the optimizer's state. One block of a tower is
    put together at a time, for its forward and its backward pass, and what a tower has
    beside blocks for all of its pass (FSDP, arXiv 2304.11277, Sec. 3.2). The rest of
    the model, such as the head, is whole in each process, its gradients averaged as by
    DDP; and so are the towers while the model evaluates, where processes may have
    different numbers of batches. Checkpoints are whole, the same files as other
    trainings', and either goes on from the other's. Without a launcher nothing is
    split.

    Args:
        param_dtype (str, optional): ``'bfloat16'`` runs the towers in it; weights,
            gradients' sums and the optimizer stay float32. Defaults to None, float32.
        reshard_after_forward (bool): Whether a block is put together anew for the
            backward pass, instead of staying whole. Defaults to True.
        kwargs: Those of mmengine's ``DDPStrategy``.
    """

    def __init__(self, *, param_dtype: Literal['bfloat16'] | None = None,
                 reshard_after_forward: bool = True, **kwargs) -> None:
        if param_dtype not in (None, 'bfloat16'):
            raise InputError("strategy: param_dtype must be None or 'bfloat16', got "
                             f'{param_dtype!r}')
        super().__init__(**kwargs)
        self.param_dtype = param_dtype
        self.reshard_after_forward = reshard_after_forward
        self._towers: Towers | None = None

    def build_logger(self, *args, **kwargs) -> MMLogger:
        return shorten_log(super().build_logger(*args, **kwargs),
                           osp.join(self.log_dir, f'{self.timestamp}.log'))

    def build_model(self, model: nn.Module | dict) -> nn.Module:
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
        self._towers = Towers(model, policy, self.reshard_after_forward)
        model.to(get_device())
        for parameter in model.parameters():
            if parameter.requires_grad and not isinstance(parameter, DTensor):
                parameter.register_post_accumulate_grad_hook(_average_grad)
        return model

    def build_optim_wrapper(self, optim_wrapper, model=None) -> OptimWrapper:
        with config_errors('optim_wrapper'):
            wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if self._towers is None:
            return wrapper
        if isinstance(wrapper, (AmpOptimWrapper, OptimWrapperDict)):
            raise InputError(
                f'FullyShardStrategy goes with one OptimWrapper, got '
                f"{type(wrapper).__name__}; for bfloat16 write strategy=dict(type="
                "'FullyShardStrategy', param_dtype='bfloat16')")
        if wrapper.clip_grad_kwargs:
            wrapper.clip_func = _clip_by(wrapper.clip_func)
        wrapper.optimizer.register_step_pre_hook(_part_groups)
        wrapper.optimizer.register_step_post_hook(_join_groups)
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
        """Return the whole weights, on the CPU; None each but in the main process."""
        state = self.model.state_dict()
        for name, value in state.items():
            state[name] = _gather(value)
        if self._towers is not None:
            self._towers.follow(self.model.training)  # which state_dict() splits
        return state

    def optim_state_dict(self) -> dict:
        """Return the whole optimizer's state, as :meth:`model_state_dict`."""
        whole = super().optim_state_dict()
        return {**whole, 'state': {
            number: {name: _gather(value) for name, value in state.items()}
            for number, state in whole['state'].items()}}

    def load_checkpoint(self, filename: str, *, map_location='cpu', **kwargs) -> dict:
        """Load a whole checkpoint, which every process reads."""
        with config_errors(f'{filename} cannot be loaded'):
            # Not to the device, which may not hold it.
            return super().load_checkpoint(filename, map_location='cpu', **kwargs)

    def load_model_state_dict(self, state_dict: dict, **kwargs) -> None:
        own = self.model.state_dict()
        super().load_model_state_dict(
            {name: _like(value, own.get(name.removeprefix('module.')))
             for name, value in state_dict.items()}, **kwargs)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        parameters = [parameter for group in self.optim_wrapper.optimizer.param_groups
                      for parameter in group['params']]
        super().load_optim_state_dict({**state_dict, 'state': {
            number: {name: _like(value, parameters[number])
                     for name, value in state.items()}
            for number, state in state_dict['state'].items()}})


class Towers:
    """A model's towers, split while it trains and whole while it evaluates.

    Args:
        model (nn.Module): A model with towers, those of its modules that have
            ``tower_blocks()``; in place. Its ``train()`` and ``eval()`` are from then
            on to be called by all processes.
        policy (MixedPrecisionPolicy): In which dtypes the towers run.
        reshard_after_forward (bool): See :class:`FullyShardStrategy`.
    """

    def __init__(self, model: nn.Module, policy: MixedPrecisionPolicy,
                 reshard_after_forward: bool = True) -> None:
        self.blocks: list[FSDPModule] = []
        self.roots: list[FSDPModule] = []
        self.reshard_after_forward = reshard_after_forward
        self.are_whole = False
        for tower in model.modules():
            if hasattr(tower, 'tower_blocks'):
                self._shard(tower, policy)
        if not self.roots:
            raise InputError(
                'FullyShardStrategy splits towers of this package, and the model has '
                f"none, got {type(model).__name__}; write runner_type='RetrievalRunner'"
                ' to train it')
        set_mode = model.train

        def train(mode: bool = True) -> nn.Module:
            set_mode(mode)
            self.follow(mode)
            return model

        model.train = train

    def _shard(self, tower: nn.Module, policy: MixedPrecisionPolicy) -> None:
        """Split a tower: a unit a block, and one of all the rest."""
        within = MixedPrecisionPolicy(policy.param_dtype, policy.reduce_dtype)
        blocks = list(tower.tower_blocks())
        for block in blocks:
            fully_shard(block, mp_policy=within,
                        reshard_after_forward=self.reshard_after_forward)
            # For what runs parts of a block: see `_run_in`.
            block.run_part = _call
            register_fsdp_forward_method(block, 'run_part')
        fully_shard(tower, mp_policy=policy, reshard_after_forward=False)
        self.blocks += blocks
        self.roots.append(tower)
        if hasattr(tower, 'encode_segments'):
            register_fsdp_forward_method(tower, 'encode_segments')
            _open_in_units(tower)

    def follow(self, training: bool) -> None:
        """Put the towers together, or split them again, as the model's mode is."""
        for unit in [*self.blocks, *self.roots]:
            if training:
                if self.are_whole:
                    unit.reshard()
                    unit.set_reshard_after_forward(
                        unit in self.blocks and self.reshard_after_forward,
                        recurse=False)
            else:
                unit.set_reshard_after_forward(False, recurse=False)
                unit.unshard()  # of those that are, nothing
        self.are_whole = not training


def _call(function: Callable, *args, **kwargs):
    return function(*args, **kwargs)


def _open_in_units(tower: nn.Module) -> None:
    """Run halves of blocks, and what necks read of attention, as blocks of FSDP run.

    They are looked up in there, too: what they hold on to is then whole.
    """
    halves, opened = tower.block_halves, tower.open_attention

    def block_halves(block: nn.Module) -> tuple[Callable, Callable] | None:
        return halves(block) and tuple(
            _run_in(block, lambda block, i=i: halves(block)[i]) for i in (0, 1))

    def open_attention(block: nn.Module):
        hooks = opened(block)
        for name in () if hooks is None else ('attention', 'keys', 'entropy'):
            setattr(hooks, name, _run_in(
                block, lambda block, name=name: getattr(opened(block), name)))
        return hooks

    tower.block_halves, tower.open_attention = block_halves, open_attention


def _run_in(block: nn.Module, find: Callable[[nn.Module], Callable]) -> Callable:
    """Return a function of a block that puts the block together to run."""
    return lambda *args, **kwargs: block.run_part(
        lambda *args, **kwargs: find(block)(*args, **kwargs), *args, **kwargs)


def _average_grad(parameter: nn.Parameter) -> None:
    all_reduce(parameter.grad, op='mean')


def _gather(value: object) -> object:
    """Return a tensor whole on the CPU, and None but in the main process."""
    if not isinstance(value, Tensor):
        return value
    value = whole(value)
    return value.cpu() if is_main_process() else None


def _like(value: object, own: object) -> object:
    """Return a whole tensor split as a model's own is, if it has its shape."""
    if not isinstance(own, DTensor) or not isinstance(
            value, Tensor) or value.shape != own.shape:
        return value
    return distribute_tensor(value.to(own.device), own.device_mesh, own.placements)


def _clip_by(function: Callable) -> Callable:
    """Return a function of torch that clips gradients, of split and whole ones."""
    if function is not nn.utils.clip_grad_norm_:
        return lambda parameters, **kwargs: [
            function(part, **kwargs) for part in split_sharded(parameters)] and None

    def clip(parameters: Iterable[nn.Parameter], max_norm: float,
             norm_type: float = 2.0, error_if_nonfinite: bool = False,
             foreach: bool | None = None) -> Tensor:
        norm = total_norm([p.grad for p in parameters], norm_type, foreach)
        if error_if_nonfinite and not norm.isfinite():
            raise RuntimeError(f'the norm of the gradients is {norm}')
        for part in split_sharded(parameters):
            nn.utils.clip_grads_with_norm_(part, max_norm, norm, foreach)
        return norm

    return clip


def _part_groups(optimizer: Optimizer, *_) -> None:
    """Part split parameters from whole ones: no step of torch takes both at once."""
    optimizer.joined_groups = optimizer.param_groups
    optimizer.param_groups = [
        dict(group, params=part) for group in optimizer.param_groups
        for part in split_sharded(group['params'])]


def _join_groups(optimizer: Optimizer, *_) -> None:
    optimizer.param_groups = optimizer.joined_groups
