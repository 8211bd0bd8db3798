"""Turn a vision transformer of frames into a tower of videos, with necks."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck, build_necks
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.utils.weights import load_strictly

from .attention_hooks import AttentionHooks
from .tower_checks import check_imgs, check_necks, refuse_tracing
from .tower_steps import Function, Step, list_steps


class EncodedSegments(NamedTuple):
    """Features of the segments of videos."""
    features: Tensor  # (B, S, E), not normalised
    mask: Tensor | None  # True where one is real, bool (B, S); None: all are
    starts: Tensor | None = None  # first frames, int64 (B, S); None: of equal lengths

    @classmethod
    def of_video(cls, features: Tensor, mask: Tensor | None) -> 'EncodedSegments':
        """Return features (B, E) of whole videos, with the mask of their frames."""
        return cls(features[:, None],
                   None if mask is None else mask.any(dim=1, keepdim=True))


class VideoTower:
    """Mixin in front of a host, a vision transformer's own class.

    The host says how it embeds frames, what its blocks and their halves are and how it
    pools; the mixin runs them, with necks in between. Parameters and state dict keys
    stay the host's, and without necks so does the output, to the last bit. A host calls
    :meth:`attach` at the end of its ``__init__``. With ``with_cp`` activations are
    recomputed in the backward pass, but for the necks'. ``image_size`` is (height,
    width), None where the host takes any.
    """
    hosts: str | None = None
    """The type of the zoo's backbone that this one stands in for, if any."""
    num_prefix_tokens = 1
    image_size: tuple[int, int] | None = None
    with_cp = False
    tubelet_size = 1
    """Frames of the video that are embedded together, as one."""
    added_keys: tuple[str, ...] = ('necks.', )
    """Starts of the state dict keys that the host's class does not have."""
    joins_frames = False
    """True where attention joins the frames of a video."""
    pools_patches = True
    """True where the features are made of patch tokens, too."""
    pooling_parts: tuple[str, ...] = ('norm', 'fc_norm', 'head')
    """Names of the modules and parameters behind the blocks, which
    :meth:`freeze` leaves to train."""

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        """Embed frames (B, T, 3, H, W) as tokens (B * T, P + N, C)."""
        raise NotImplementedError

    def embed(self, imgs: Tensor, frame_mask: Tensor | None = None) -> VideoTokens:
        """Return the embedded frames.

        Where their positions tell frames apart, with the patches without them as
        ``keys``, for necks that compare frames in front of block 1.
        """
        return VideoTokens.of(self.frames_to_tokens(imgs), imgs.shape[0],
                              self.num_prefix_tokens, frame_mask)

    def tower_blocks(self) -> Sequence[nn.Module]:
        """Return the host's blocks, in order."""
        raise NotImplementedError

    def block_halves(self, block: nn.Module) -> tuple[Function, Function] | None:
        """Return a block's attention and MLP, each with its residual.

        None where a block has no such halves: necks then stand behind the whole block.
        """
        return None

    def block_step(self, block: nn.Module) -> Function:
        """Return a whole block as a function, where that is not the block itself."""
        return block

    def open_attention(self, block: nn.Module) -> AttentionHooks | None:
        """Return what merging necks need of attention; None where they are refused."""
        return None

    def tokens_to_features(self, x: Tensor) -> Tensor:
        """Pool tokens (B * S, P + K, C) to features (B * S, E)."""
        raise NotImplementedError

    def patch_positions(self) -> Tensor:
        """Return the positional embedding (N, C) of a frame's patches."""
        raise NotImplementedError

    def around(self, function: Function, tokens: VideoTokens) -> Tensor:
        """Return the tokens (B * S, P + K, C) behind a block, or a half of one.

        A host reshapes here if its attention joins frames, or gathers rotary positions.
        """
        return function(tokens.x)

    def attach(self, necks: Sequence[dict], with_cp: bool = False) -> None:
        """Build the necks and list the steps, once the host is built."""
        self.with_cp |= with_cp
        width = self.patch_positions().shape[-1]
        if not hasattr(self, 'embed_dims'):
            self.embed_dims = width
        self.necks = nn.ModuleList(build_necks(necks, embed_dims=width))
        check_necks(self, self.necks)
        self.steps = list_steps(self, self.necks)
        self.init_necks()

    def check_neck(self, neck: TokenNeck) -> None:
        """Raise an InputError where a neck cannot be right in this host."""

    def init_weights(self, *args, **kwargs) -> None:
        """Start the host's weights, where it starts them so, and the necks'."""
        if hasattr(super(), 'init_weights'):
            super().init_weights(*args, **kwargs)
        if hasattr(self, 'necks'):  # Not yet where the host's __init__ calls this.
            self.init_necks()

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
        """Encode normalised frames (B, T, 3, H, W), with a mask (B, T) of real ones.

        To features of the segments (frames where no neck merges them), (B, S, E), not
        normalised, and their mask (B, S), None without ``frame_mask``.
        """
        return tuple(self.encode_segments(imgs, frame_mask)[:2])

    def encode_segments(self, imgs: Tensor,
                        frame_mask: Tensor | None = None) -> EncodedSegments:
        """Encode videos as :meth:`encode`, and return what each segment is of."""
        tokens = self.run_steps(imgs, frame_mask).split_prefix(self.num_prefix_tokens)
        features = self.pool_tokens(tokens)
        if features.shape[-1] != self.embed_dims:
            raise InputError(f'{type(self).__name__}: embed_dims must be the '
                             f'{features.shape[-1]} of the features, got '
                             f'{self.embed_dims}')
        features = features.unflatten(0, (imgs.shape[0], -1))
        starts = tokens.first_frames
        return EncodedSegments(features, tokens.frame_mask,
                               None if starts is None else starts * self.tubelet_size)

    def run_blocks(self, imgs: Tensor, frame_mask: Tensor | None = None,
                   read: Callable[[Step, VideoTokens], None] | None = None
                   ) -> VideoTokens:
        """Run blocks and necks as :meth:`run_steps`, and pad what they have packed."""
        return self.run_steps(imgs, frame_mask, read).padded()

    def run_steps(self, imgs: Tensor, frame_mask: Tensor | None = None,
                  read: Callable[[Step, VideoTokens], None] | None = None
                  ) -> VideoTokens:
        """Run blocks and necks; ``read`` gets each step and the tokens behind it."""
        if self.necks:
            refuse_tracing(self)
        check_imgs(self, imgs)
        tokens = self.embed(imgs, frame_mask)
        for step in self.steps:
            tokens = step(tokens)
            if read is not None:
                read(step, tokens)
        return tokens

    def pool_tokens(self, tokens: VideoTokens) -> Tensor:
        """Pool tokens to features (B * S, E).

        Rows that may differ in length, one by one and without padding: how products of
        few rows are rounded depends on their number.
        """
        if tokens.size is None or not any(neck.pads for neck in self.necks):
            return self.tokens_to_features(tokens.x)
        return self._pool_rows(tokens)

    @torch.compiler.disable
    def _pool_rows(self, tokens: VideoTokens) -> Tensor:
        tokens = tokens.packed()
        rows = (tokens.x.split(1) if tokens.lengths is None else
                tokens.x.split(tokens.lengths, dim=1))
        return torch.cat([self.tokens_to_features(row) for row in rows])

    def run_neck(self, neck: TokenNeck, function: Function,
                 tokens: VideoTokens) -> VideoTokens:
        """Run a function, each token on its own, and the neck behind it."""
        return neck.after(function, tokens)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Choose whether to recompute activations in the backward pass."""
        self.with_cp = enable

    def freeze(self, num_blocks: int) -> None:
        """Freeze the embeddings and the first blocks."""
        blocks = self.tower_blocks()
        if not -1 <= num_blocks <= len(blocks):
            raise InputError('frozen_layers must be from -1 (nothing frozen) to '
                             f'{len(blocks)}, the number of blocks, got {num_blocks!r}')
        if num_blocks < 0:
            return
        trained = self.pooling_parameters()
        for module in (self.necks, *blocks[num_blocks:]):
            trained.update(module.parameters())
        for parameter in self.parameters():
            if parameter not in trained:
                parameter.requires_grad = False

    def pooling_parameters(self) -> set[nn.Parameter]:
        """Return the parameters of :attr:`pooling_parts`."""
        parts = tuple(f'{name}.' for name in self.pooling_parts)
        return {parameter for name, parameter in self.named_parameters()
                if f'{name}.'.startswith(parts)}

    def load_pretrained(self, state: dict[str, Tensor], source: str) -> None:
        """Load weights of the host's class, and start from them what is added."""
        load_strictly(self, state, source, may_lack=self.added_keys)
        if not any(key.startswith('necks.') for key in state):
            self.init_necks()


def use_plain_drop_probs(model: nn.Module) -> None:
    """Turn drop rates of ``np.linspace`` into numbers, for ``torch.compile``."""
    for module in model.modules():
        if isinstance(getattr(module, 'drop_prob', None), np.floating):
            module.drop_prob = float(module.drop_prob)
