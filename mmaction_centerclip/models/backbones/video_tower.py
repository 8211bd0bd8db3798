"""Turn a vision transformer of frames into a tower of videos, with necks."""
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck, build_neck
from mmaction_centerclip.models.utils import load_strictly
from mmaction_centerclip.models.video_tokens import VideoTokens

from .tower_checks import check_imgs, refuse_tracing

__all__ = ['Step', 'VideoTower']

Step = Callable[[Tensor], Tensor]
"""A part of a transformer that takes and returns tokens of one layout."""


class VideoTower:
    """Mixin in front of a host, a vision transformer's own class.

    The host says how it embeds frames, what its blocks and their halves are
    and how it pools; the mixin runs them, with necks in between. Parameters
    and state dict keys stay the host's, and without necks so does the output.
    A host calls :meth:`attach` at the end of its ``__init__``.

    Attributes:
        num_prefix_tokens (int): Class and register tokens P of a frame.
        image_size (tuple[int, int], optional): Height and width that frames
            must have; None where the host takes any.
        embed_dims (int): Width E of the features; that of the tokens, unless
            the host sets it before :meth:`attach`.
        with_cp (bool): Whether to recompute activations in the backward pass.
            Necks are not recomputed.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models.backbones import TimmVisionTower
        >>> tower = TimmVisionTower(
        ...     img_size=32, embed_dim=64, depth=3, num_heads=2, num_classes=0,
        ...     necks=[dict(type='TokenClustering', before_block=2,
        ...                 num_segments=2, num_centers=3)])
        >>> features, mask = tower.encode(torch.rand(1, 8, 3, 32, 32))
        >>> features.shape
        torch.Size([1, 2, 64])
    """
    num_prefix_tokens = 1
    image_size: tuple[int, int] | None = None
    with_cp = False
    added_keys: tuple[str, ...] = ('necks.', )
    """Starts of the state dict keys that the host's class does not have."""

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        """Embed frames (B, T, 3, H, W) as tokens (B * T, P + N, C)."""
        raise NotImplementedError

    def tower_blocks(self) -> Sequence[nn.Module]:
        """Return the host's blocks, in order."""
        raise NotImplementedError

    def block_halves(self, block: nn.Module) -> tuple[Step, Step] | None:
        """Return a block's attention and MLP, each with its residual.

        The MLP takes each token on its own. None where a block has no such
        halves: necks then stand behind the whole block.
        """
        return None

    def block_step(self, block: nn.Module) -> Step:
        """Return a whole block as a step, where that is not the block itself."""
        return block

    def tokens_to_features(self, x: Tensor) -> Tensor:
        """Pool tokens (B * S, P + K, C) to features (B * S, E)."""
        raise NotImplementedError

    def patch_positions(self) -> Tensor:
        """Return the positional embedding (N, C) of a frame's patches."""
        raise NotImplementedError

    def around(self, step: Step, x: Tensor, batch_size: int,
               positions: Tensor | None) -> Tensor:
        """Run a block, or a half of one, on tokens (B * S, P + K, C).

        Hosts whose attention joins the frames of a video reshape here, and
        rotary ones gather their embedding at ``positions`` (B, S, K), see
        :class:`VideoTokens`.
        """
        return step(x)

    def attach(self, necks: Sequence[dict]) -> None:
        """Build the necks, once the host is built.

        Args:
            necks (Sequence[dict]): Configs, each with its ``before_block``;
                of several in front of one block the first goes first.

        Raises:
            InputError: If one is no neck, or stands in front of no block.
        """
        width, blocks = self.patch_positions().shape[-1], self.tower_blocks()
        if not hasattr(self, 'embed_dims'):
            self.embed_dims = width
        if isinstance(necks, dict):
            raise InputError(f'necks must be a list of configs, got {necks!r}')
        self.necks = nn.ModuleList()
        for config in necks:
            neck = build_neck(config, embed_dims=width)
            if neck.before_block > len(blocks):
                raise InputError(f"{neck}: before_block must be from 1 to the tower's "
                                 f'{len(blocks)} blocks, got {neck.before_block}')
            block = blocks[neck.before_block - 1]
            if neck.inside_block and self.block_halves(block) is None:
                raise InputError(f'{neck} works between attention and MLP, '
                                 f'which {type(block).__name__} does not have')
            self.check_neck(neck)
            self.necks.append(neck)
        self.init_necks()

    def check_neck(self, neck: TokenNeck) -> None:
        """Raise an InputError where a neck cannot be right in this host."""

    def init_necks(self) -> None:
        """Start the necks' embeddings that come from the host's positions."""
        for neck in self.necks:
            neck.init_from_positions(self.patch_positions())

    def forward(self, imgs: Tensor, frame_mask: Tensor | None = None
                ) -> tuple[Tensor, Tensor | None]:
        """Encode videos, as :meth:`encode`."""
        return self.encode(imgs, frame_mask)

    def encode(self, imgs: Tensor, frame_mask: Tensor | None = None
               ) -> tuple[Tensor, Tensor | None]:
        """Encode videos.

        Args:
            imgs (Tensor): Normalised frames, shape (B, T, 3, H, W).
            frame_mask (Tensor, optional): True where a frame is real, bool
                (B, T). Defaults to None: all are.

        Returns:
            tuple[Tensor, Tensor | None]: Features of the segments (frames
            where no neck merges them), shape (B, S, E), not normalised; and
            their mask, bool (B, S), None if ``frame_mask`` is.

        Raises:
            InputError: If the frames are not of that shape and size, or a
                tower with necks is traced or exported to ONNX.
        """
        x, frame_mask = self.run_blocks(imgs, frame_mask)
        features = self.tokens_to_features(x)
        if features.shape[-1] != self.embed_dims:
            raise InputError(f'{type(self).__name__}: embed_dims must be the '
                             f'{features.shape[-1]} of the features, got '
                             f'{self.embed_dims}')
        return features.unflatten(0, (len(imgs), -1)), frame_mask

    def run_blocks(self, imgs: Tensor, frame_mask: Tensor | None,
                   read: Callable[[int, Tensor], None] | None = None
                   ) -> tuple[Tensor, Tensor | None]:
        """Run the blocks and the necks.

        Args:
            imgs (Tensor): See :meth:`encode`.
            frame_mask (Tensor, optional): See :meth:`encode`.
            read (Callable, optional): Called with the number of each block,
                from 1, and the tokens behind it (B * S, P + K, C), unless a
                neck joins its MLP. Defaults to None.

        Returns:
            tuple[Tensor, Tensor | None]: The last block's tokens, and the
            mask of the segments (B, S).
        """
        if self.necks:
            refuse_tracing(self)
        check_imgs(self, imgs)
        batch_size, x = len(imgs), self.frames_to_tokens(imgs)
        positions = size = None  # Every patch is at its place, and alone.
        for number, step, necks in self._steps():
            if self.with_cp and self.training:
                step = partial(checkpoint, step, use_reentrant=False)
            if not necks:
                x = self.around(step, x, batch_size, positions)
                if read is not None and number:
                    read(number, x)
                continue
            tokens = VideoTokens.split(x, batch_size, self.num_prefix_tokens,
                                       frame_mask, positions, size)
            tokens = self.run_necks(step, necks, tokens.with_positions())
            x, (frame_mask, positions, size) = tokens.join(), tokens[2:]
        return x, frame_mask

    def run_necks(self, step: Step, necks: Sequence[TokenNeck],
                  tokens: VideoTokens) -> VideoTokens:
        """Run a step, each token on its own, and the necks behind it.

        Where a class token belongs to no frame, a host keeps it from them here.
        """
        tokens = necks[0].after(step, tokens)
        for neck in necks[1:]:
            tokens = neck(tokens)
        return tokens

    def _steps(self) -> Iterator[tuple[int, Step, list[TokenNeck]]]:
        """Yield the tower's steps in order, each with the necks behind it.

        Before it the number of the block that the step ends, else 0. Necks
        only stand behind steps that take each token on its own.
        """
        if first := self._necks_before(1):
            yield 0, nn.Identity(), first
        for number, block in enumerate(self.tower_blocks(), start=1):
            inside = [n for n in self._necks_before(number) if n.inside_block]
            behind = self._necks_before(number + 1)
            halves = None
            if inside or behind and not _is_random(block):
                halves = self.block_halves(block)
            if halves is None:
                yield number, self.block_step(block), []
                if behind:
                    yield 0, nn.Identity(), behind
                continue
            attention, mlp = halves
            yield 0, attention, []
            if inside:
                yield 0, nn.Identity(), inside
            yield number, mlp, behind

    def _necks_before(self, number: int) -> list[TokenNeck]:
        return [neck for neck in self.necks if neck.before_block == number]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Choose whether to recompute activations in the backward pass."""
        self.with_cp = enable

    def freeze(self, num_blocks: int) -> None:
        """Freeze the embeddings and the first blocks.

        Args:
            num_blocks (int): How many blocks; 0 freezes the embeddings only,
                -1 nothing.

        Raises:
            InputError: If the tower does not have so many blocks.
        """
        blocks = self.tower_blocks()
        if type(num_blocks) is not int or not -1 <= num_blocks <= len(blocks):
            raise InputError('frozen_layers must be from -1 (nothing frozen) to '
                             f'{len(blocks)}, the number of blocks, got {num_blocks!r}')
        if num_blocks < 0:
            return
        trained = {id(p) for p in self._pooling_parameters()}
        for module in (self.necks, *blocks[num_blocks:]):
            trained.update(map(id, module.parameters()))
        for parameter in self.parameters():
            if id(parameter) not in trained:
                parameter.requires_grad = False

    def _pooling_parameters(self) -> list[nn.Parameter]:
        """Return the parameters behind the blocks: those that pooling reads."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        patches = self.patch_positions()
        tokens = patches.new_zeros(
            1, self.num_prefix_tokens + len(patches), patches.shape[1])
        with torch.enable_grad():
            total = self.tokens_to_features(tokens).sum()
        if not total.requires_grad:
            return []
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        return [p for p, g in zip(parameters, gradients) if g is not None]

    def load_pretrained(self, state: dict[str, Tensor], source: str) -> None:
        """Load weights of the host's class, and start from them what is added.

        Args:
            state (dict[str, Tensor]): With all of the host's keys.
            source (str): Where they are from, for messages.

        Raises:
            InputError: If a key is missing, unknown or of another shape.
        """
        load_strictly(self, state, source, may_lack=self.added_keys)
        if not any(key.startswith('necks.') for key in state):
            self.init_necks()


def _is_random(block: nn.Module) -> bool:
    """Whether a block drops paths or values at random now.

    A neck could not see the tokens that the block then computes.
    """
    return block.training and any(getattr(module, name, 0) for module in block.modules()
                                  for name in ('p', 'drop_prob'))
