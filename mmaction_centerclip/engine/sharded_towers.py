"""Towers of a model that are split over processes, by torch's FSDP2."""
import warnings
from collections.abc import Callable

from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from mmaction_centerclip.errors import InputError


class ShardedTowers:
    """The towers of a model, split while it trains and whole while it evaluates.

    Changes the model in place: its parameters outside of towers get averaged gradients,
    and all processes must call its ``train()`` and ``eval()`` together.

    Args:
        model (nn.Module): A model with towers, modules that have ``tower_blocks()``.
        device (str): The kind of device that they run on, ``'cuda'`` or ``'cpu'``.
        policy (MixedPrecisionPolicy): In which dtypes they run.
        reshard_after_forward (bool): See :class:`FullyShardStrategy`.
    """

    def __init__(self, model: nn.Module, device: str, policy: MixedPrecisionPolicy,
                 reshard_after_forward: bool = True) -> None:
        self.units: list[tuple[FSDPModule, bool]] = []
        """With whether each is split anew behind its forward pass."""
        towers = [m for m in model.modules() if hasattr(m, 'tower_blocks')]
        if not towers:
            raise InputError('FullyShardStrategy splits the towers of this package, of '
                             f'which {type(model).__name__} has none; leave strategy '
                             'and runner_type out')
        total = sum(p.numel() for p in model.parameters())
        mesh = init_device_mesh(device, (get_world_size(), ))
        for tower in towers:
            self._shard(tower, mesh, policy, reshard_after_forward)
        for unit, _ in self.units:
            # gloo of torch 2.8 gives a sum where a mean is asked for, without a word.
            unit.set_force_sum_reduction_for_comms(True)
        self.are_whole = False
        held = 0
        for parameter in model.parameters():
            if isinstance(parameter, DTensor):
                held += parameter.to_local().numel()
                continue
            held += parameter.numel()
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda parameter: all_reduce(parameter.grad, op='mean'))
        print_log(f'{len(self.units)} units are split over {get_world_size()} processes'
                  f': this one holds {held:,} of {total:,} parameters', 'current')
        set_mode = model.train

        def train(mode: bool = True) -> nn.Module:
            set_mode(mode)
            self.follow(mode)
            return model

        model.train = train

    def _shard(self, tower: nn.Module, mesh: DeviceMesh, policy: MixedPrecisionPolicy,
               reshard: bool) -> None:
        """Split a tower: a unit a block, and one of all the rest."""
        # It warns of views among a tower's features, which nothing changes in place.
        warnings.filterwarnings('ignore', 'FSDP2-wrapped module .* returned a view')
        for block in tower.tower_blocks():
            fully_shard(
                block, mesh=mesh, reshard_after_forward=reshard,
                mp_policy=MixedPrecisionPolicy(policy.param_dtype, policy.reduce_dtype))
            block.run_part = _call
            register_fsdp_forward_method(block, 'run_part')
            self.units.append((block, reshard))
        fully_shard(tower, mesh=mesh, mp_policy=policy, reshard_after_forward=False)
        self.units.append((tower, False))
        if hasattr(tower, 'encode_segments'):
            register_fsdp_forward_method(tower, 'encode_segments')
            _open_as_units(tower)

    def follow(self, training: bool) -> None:
        """Split the towers while the model trains, else put them together."""
        for unit, reshard in self.units:
            if training and self.are_whole:
                unit.reshard()
                unit.set_reshard_after_forward(reshard, recurse=False)
            elif not training:
                unit.set_reshard_after_forward(False, recurse=False)
                unit.unshard()
        self.are_whole = not training


def _call(function: Callable, *args, **kwargs):
    return function(*args, **kwargs)


def _open_as_units(tower: nn.Module) -> None:
    """Put a block together to run its halves, or what necks read of its attention.

    They are looked up once it is: they may hold on to its parameters.
    """
    halves, opened = tower.block_halves, tower.open_attention

    def run(block: nn.Module, find: Callable[[], Callable]) -> Callable:
        return lambda *args, **kwargs: block.run_part(
            lambda *args, **kwargs: find()(*args, **kwargs), *args, **kwargs)

    def block_halves(block: nn.Module) -> tuple[Callable, Callable] | None:
        return halves(block) and (run(block, lambda: halves(block)[0]),
                                  run(block, lambda: halves(block)[1]))

    def open_attention(block: nn.Module):
        hooks = opened(block)
        for name in () if hooks is None else ('attention', 'keys', 'entropy'):
            setattr(hooks, name, run(
                block, lambda name=name: getattr(opened(block), name)))
        return hooks

    tower.block_halves, tower.open_attention = block_halves, open_attention
