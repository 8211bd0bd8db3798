"""The steps that a tower runs in turn: blocks, halves of blocks, and necks."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import mask_or_all

Function = Callable[[Tensor], Tensor]
"""Takes and returns tokens of one layout, as a block or a half of one does."""


@dataclass(eq=False)
class BlockStep:
    """Run the block of a number, from 1, of a tower on tokens."""
    tower: nn.Module
    number: int

    @property
    def block(self) -> nn.Module:
        """The block, looked up, for it may have been wrapped or replaced."""
        return self.tower.tower_blocks()[self.number - 1]

    def function(self, tokens: VideoTokens) -> Function:
        """Return what the host runs."""
        return self.tower.block_step(self.block)

    def checkpointed(self, tokens: VideoTokens) -> Function:
        """Return the same, recomputed in the backward pass where that is wanted."""
        function = self.function(tokens)
        if self.tower.with_cp and self.tower.training:
            return partial(checkpoint, function, use_reentrant=False)
        return function

    def __call__(self, tokens: VideoTokens) -> VideoTokens:
        if tokens.lengths is not None:
            rows = [self(row).x for row in tokens.rows()]
            return tokens.replace(x=torch.cat(rows, dim=1))
        x = self.tower.around(self.checkpointed(tokens), tokens)
        return tokens.replace(x=x, keys=None, entropy=None)


@dataclass(eq=False)
class AttentionStep(BlockStep):
    """Run a block's attention, and hand on what necks read of it.

    ``by_size`` it counts tokens by their size, as ToMe's does (arXiv 2210.09461),
    Sec. 3: softmax(q k / sqrt(d) + log(size)).
    """
    reads: tuple[str, ...] = ()  # 'keys', 'entropy'
    by_size: bool = False

    def function(self, tokens: VideoTokens) -> Function:
        if not self.by_size or tokens.size is None:
            return self.tower.block_halves(self.block)[0]
        size = F.pad(tokens.size.flatten(0, 1), (tokens.num_prefix, 0), value=1)
        return partial(self.tower.open_attention(self.block).attention,
                       bias=size.to(tokens.x.dtype).log())

    def __call__(self, tokens: VideoTokens) -> VideoTokens:
        if not self.reads:
            return super().__call__(tokens)
        opened = self.tower.open_attention(self.block)
        with torch.no_grad():
            known = {}
            if 'keys' in self.reads:
                known['keys'] = opened.keys(tokens.x)
            if 'entropy' in self.reads:
                known['entropy'] = self.tower.around(opened.entropy, tokens)[..., 0]
        known = {name: value[:, tokens.num_prefix:].unflatten(
            0, (tokens.batch_size, -1)) for name, value in known.items()}
        return super().__call__(tokens).replace(**known)


@dataclass(eq=False)
class MLPStep(BlockStep):
    """Run a block's MLP."""

    def function(self, tokens: VideoTokens) -> Function:
        return self.tower.block_halves(self.block)[1]

    def __call__(self, tokens: VideoTokens) -> VideoTokens:
        # What drops paths draws once a row.
        if tokens.lengths is None or _is_random(self.block):
            return super().__call__(tokens)
        return tokens.map(self.checkpointed(tokens))


@dataclass(eq=False)
class NeckStep:
    """Run a neck, or an MLP and the neck behind it."""
    tower: nn.Module
    neck: TokenNeck
    mlp: MLPStep | None = None

    def __call__(self, tokens: VideoTokens) -> VideoTokens:
        tokens, function = tokens.with_positions(), lambda x: x
        if self.mlp is not None and _is_random(self.mlp.block):
            # The neck could not see the tokens that the block then computes.
            tokens = self.mlp(tokens)
        elif self.mlp is not None:
            function = self.mlp.checkpointed(tokens)
        tokens = self.tower.run_neck(self.neck, function, tokens)
        # A compiled graph is of one number of rows, not of the lengths of each.
        packs = self.neck.packed and not torch.compiler.is_compiling()
        return tokens.packed() if self.neck.pads and packs else tokens


Step = BlockStep | NeckStep


def list_steps(tower: nn.Module, necks: Sequence[TokenNeck]) -> list[Step]:
    """List a tower's steps: its blocks, as halves where necks need that, and necks."""

    def in_front_of(number: int) -> list[TokenNeck]:
        return [n for n in necks if n.in_front_of_block and n.before_block == number]

    steps: list[Step] = [NeckStep(tower, neck) for neck in in_front_of(1)]
    for number, block in enumerate(tower.tower_blocks(), start=1):
        inside = [n for n in necks if n.inside_block and n.before_block == number]
        behind = in_front_of(number + 1)
        by_size = any(n.proportional_attention and n.before_block <= number
                      for n in necks)
        if not (inside or behind or by_size) or tower.block_halves(block) is None:
            steps.append(BlockStep(tower, number))
        else:
            mlp = MLPStep(tower, number)
            reads = tuple(name for name in ('keys', 'entropy')
                          if any(name in n.reads for n in inside))
            steps += [AttentionStep(tower, number, reads, by_size),
                      *(NeckStep(tower, neck) for neck in inside),
                      *(NeckStep(tower, neck, mlp) for neck in behind[:1]),
                      *([] if behind else [mlp])]
            behind = behind[1:]
        steps += [NeckStep(tower, neck) for neck in behind]
    return steps


def run_real_frames(function: Function, tokens: VideoTokens) -> Tensor:
    """Run attention that joins frames, without those that it must not see."""
    videos, mask = tokens.by_frame, tokens.frame_mask
    if mask is None or tokens.attend_masked or mask.all():
        return function(videos).flatten(0, 1)
    mask = mask_or_all(mask)
    outputs = [function(video[real][None])[0] for video, real in zip(videos, mask)]
    # Frames that are not real stay as they are, or have no such value.
    keep = outputs[0].shape[-1] == videos.shape[-1]
    result = videos.clone() if keep else outputs[0].new_zeros(
        *videos.shape[:-1], outputs[0].shape[-1])
    for number, output in enumerate(outputs):
        result[number, mask[number]] = output
    return result.flatten(0, 1)


def _is_random(block: nn.Module) -> bool:
    """Return whether a block drops paths or values at random now."""
    return block.training and any(getattr(module, name, 0) for module in block.modules()
                                  for name in ('p', 'drop_prob'))
