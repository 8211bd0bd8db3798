"""The parts of a transformer that a tower runs in turn, and the necks between."""
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.models.necks import TokenNeck

__all__ = ['OpenAttention', 'Step', 'TowerStep', 'key_part', 'mean_keys',
           'tower_steps']

Step = Callable[[Tensor], Tensor]
"""A part of a transformer that takes and returns tokens of one layout."""


class OpenAttention(NamedTuple):
    """The keys of a block's attention, and the attention with a bias.

    Attributes:
        keys (Callable): Maps tokens (B, L, C) in front of the block to their
            keys, averaged over the heads, (B, L, D).
        attention (Callable): The attention with its residual, of tokens
            (B, L, C) and ``bias``, as many numbers, each of which is added to
            every logit of its token as a key.
    """
    keys: Step
    attention: Callable[..., Tensor]


class TowerStep(NamedTuple):
    """A step of a tower.

    Attributes:
        run (Callable): Takes and returns tokens (B * T, P + N, C).
        necks (Sequence[TokenNeck]): Those behind it. Where there are any, the
            step takes each token on its own.
        number (int): Of the block that it ends, from 1, else 0.
        keys (Callable, optional): See :class:`OpenAttention`; where the step
            is an attention whose keys a neck needs.
        weighted (Callable, optional): The same attention with a bias; where
            one counts tokens by their size.
    """
    run: Step
    necks: Sequence[TokenNeck] = ()
    number: int = 0
    keys: Step | None = None
    weighted: Callable[..., Tensor] | None = None


class Host(Protocol):
    """The methods of a host that say what its blocks are made of."""

    def tower_blocks(self) -> Sequence[nn.Module]: ...

    def block_step(self, block: nn.Module) -> Step: ...

    def block_halves(self, block: nn.Module) -> tuple[Step, Step] | None: ...

    def open_attention(self, block: nn.Module) -> OpenAttention | None: ...


def tower_steps(host: Host, necks: Sequence[TokenNeck]) -> Iterator[TowerStep]:
    """Yield a tower's steps in order, each with the necks behind it."""

    def in_front_of(number: int) -> list[TokenNeck]:
        return [n for n in necks if n.in_front_of_block and n.before_block == number]

    def identity(necks: list[TokenNeck]) -> Iterator[TowerStep]:
        if necks:
            yield TowerStep(nn.Identity(), necks)

    yield from identity(in_front_of(1))
    for number, block in enumerate(host.tower_blocks(), start=1):
        inside = [n for n in necks if n.inside_block and n.before_block == number]
        behind, random = in_front_of(number + 1), _is_random(block)
        keys = weighted = halves = None
        if any(n.needs_keys for n in inside):
            keys = host.open_attention(block).keys
        if any(n.proportional_attention and n.before_block <= number for n in necks):
            weighted = host.open_attention(block).attention
        if inside or weighted or behind and not random:
            halves = host.block_halves(block)
        if halves is None:
            yield TowerStep(host.block_step(block), number=number)
            yield from identity(behind)
            continue
        attention, mlp = halves
        yield TowerStep(attention, keys=keys, weighted=weighted)
        yield from identity(inside)
        if random:
            yield TowerStep(mlp, number=number)
            yield from identity(behind)
        else:
            yield TowerStep(mlp, behind, number)


def _is_random(block: nn.Module) -> bool:
    """Whether a block drops paths or values at random now.

    A neck could not see the tokens that the block then computes.
    """
    return block.training and any(getattr(module, name, 0) for module in block.modules()
                                  for name in ('p', 'drop_prob'))


def key_part(parameter: Tensor | None) -> Tensor | None:
    """Return the middle third, of queries, keys and values in one parameter."""
    return None if parameter is None else parameter.chunk(3)[1]


def mean_keys(x: Tensor, weight: Tensor, bias: Tensor | None, num_heads: int,
              norm: nn.Module | None = None) -> Tensor:
    """Return an attention's keys, averaged over its heads.

    Args:
        x (Tensor): What the attention takes, shape (B, L, C).
        weight (Tensor): Of the keys, shape (H * D, C).
        bias (Tensor, optional): Of the keys, shape (H * D, ).
        num_heads (int): H.
        norm (nn.Module, optional): What each head's keys go through.
            Defaults to None: nothing.

    Returns:
        Tensor: Shape (B, L, D).
    """
    if norm is None or isinstance(norm, nn.Identity):
        # The mean of linear maps is one linear map, which is H times cheaper.
        weight, bias = (None if part is None else part.unflatten(
            0, (num_heads, -1)).mean(0) for part in (weight, bias))
        return F.linear(x, weight, bias)
    keys = F.linear(x, weight, bias)
    return norm(keys.unflatten(-1, (num_heads, -1))).mean(-2)
