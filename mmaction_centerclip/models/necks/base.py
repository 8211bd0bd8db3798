"""Base classes of necks, and of those that reduce tokens."""
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import (
    cut_at_changes,
    frame_changes,
    segment_mask,
    weighted_mean,
)
from mmaction_centerclip.utils.option_types import PositiveInt

ONE_TOKEN = torch.zeros(1, 1, 1)


class TokenNeck(BaseModule, metaclass=ABCMeta):
    """Rewrite a video's tokens between two transformer blocks.

    ``before_block`` is the block in front of which it stands: 7 means after six
    complete blocks, the paper's B6. In a tower's config also a list, see
    :func:`build_necks`.
    """
    in_front_of_block = True
    """Applied in front of the block."""
    inside_block = False
    """Applied between the block's attention and its MLP."""
    reads: tuple[str, ...] = ()
    """Parts of :class:`VideoTokens` needed, 'keys', 'entropy'; only inside a block."""
    proportional_attention = False
    """From this block on, attention counts a token as often as its size says."""
    without_attention = ''
    """The options of a neck that needs neither of these, for messages."""
    keeps_prefix = False
    """Keeps the class tokens of all frames that it joins."""
    pads = False
    """Leaves segments of different numbers of tokens, and pads with tokens of size 0 at
    their ends, which attention by size leaves out."""
    packed = True
    """Where it pads, let the tower pack the tokens: compute none of those of size 0."""
    keeps_places = False
    """Leaves every frame, or segment, the full grid of its patches, each at its
    place: hosts whose blocks tell tokens apart by their order take no other."""

    any_frames = False
    """Can be exported for any number of frames that it can divide."""
    without_onnx = ''
    """Why it cannot be exported to ONNX, if so, for messages."""

    def __init__(self, before_block: PositiveInt, embed_dims: int | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.embed_dims = embed_dims
        self.before_block = before_block

    def set_options(self, operation: Callable[..., object], **options) -> None:
        """Keep the options of an operation that takes them, for a token."""
        with named_errors(type(self).__name__):
            operation(**options)
        self.options = options

    @abstractmethod
    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Return tokens of other frames, of other number, or other values."""

    def after(self, function: Callable[[Tensor], Tensor],
              tokens: VideoTokens) -> VideoTokens:
        """Return ``self(tokens.map(function))``, as cheaply as the neck can."""
        return self(tokens.map(function))

    def init_from_positions(self, positions: Tensor) -> None:
        """Start learned embeddings from the host's, if there are any."""

    def extra_repr(self) -> str:
        return f'before_block={self.before_block}'


def check_segments(neck: TokenNeck, num_segments: int, frames: int) -> None:
    """Refuse segments of unequal length."""
    if frames % num_segments:
        raise InputError(f'{neck}: num_segments must divide the number of frames, got '
                         f'{num_segments} segments for {frames} frames')


def build_necks(configs: Sequence[dict], embed_dims: int) -> list[TokenNeck]:
    """Build the necks of a tower, see :func:`single_necks`."""
    necks = []
    for config in single_necks(configs):
        name = config.get('type') if isinstance(config, dict) else None
        cls = MODELS.get(name) if isinstance(name, str) else name
        if not isinstance(cls, type) or not issubclass(cls, TokenNeck):
            raise InputError(f'necks must be configs of token necks, got {config!r}')
        necks.append(MODELS.build(config, default_args=dict(embed_dims=embed_dims)))
    return necks


def single_necks(configs: Sequence[dict]) -> list[dict]:
    """Return a config for each block where ``before_block`` is a list.

    Other options then are lists of their values in these blocks, or values of all.
    """
    necks = []
    for config in configs:
        blocks = config.get('before_block') if isinstance(config, dict) else None
        if not isinstance(blocks, (list, tuple)):
            necks.append(config)
            continue
        if not blocks:
            raise InputError(f'before_block must be a block or a list of them, got '
                             f'{blocks!r} in {config!r}')
        lists = {name: value for name, value in config.items()
                 if isinstance(value, (list, tuple))}
        for name, values in lists.items():
            if len(values) != len(blocks):
                raise InputError(
                    f'{name} must be one value, or one for each of the {len(blocks)} '
                    f'blocks of before_block, got {values!r} in {config!r}')
        necks += [{**config, **dict(zip(lists, own))} for own in zip(*lists.values())]
    return necks


class TokenReducer(TokenNeck):
    """Merge the frames of a video into segments with fewer tokens.

    A segment of T / ``num_segments`` consecutive frames keeps the mean of its class
    tokens, and of its patch tokens what :meth:`reduce` leaves.

    Args:
        num_segments (int): Segments S to leave; must divide the frames.
        exclude_padding (bool): Whether padding stays out of the reduction and of the
            class token's mean, and a segment with any real frame counts. CenterCLIP
            lets it take part.
        adaptive_segments (bool): Whether to cut a video where its frames change most,
            see :func:`cut_at_changes` and :func:`frame_changes`. A segment has at most
            twice the equal length, rounded up, to which all are padded, and at least
            the frames that the tokens to keep need; padding stays out as with
            ``exclude_padding``. ``num_segments`` need not divide the frames.
    """
    takes_masks = True
    """True where :meth:`reduce` heeds the mask of its segments' frames."""

    def __init__(self, before_block: PositiveInt, num_segments: PositiveInt,
                 exclude_padding: bool = False, adaptive_segments: bool = False,
                 **kwargs) -> None:
        super().__init__(before_block, **kwargs)
        self.num_segments = num_segments
        for option, value in dict(exclude_padding=exclude_padding,
                                  adaptive_segments=adaptive_segments).items():
            if value and not self.takes_masks:
                raise InputError(f'{type(self).__name__}: {option} is for necks that '
                                 'can leave tokens out, such as TokenClustering, got '
                                 'True')
        self.exclude_padding = exclude_padding or adaptive_segments
        self.adaptive_segments = adaptive_segments

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Reduce (B, T, P + N, C) to (B, S, P + K, C)."""
        segments, mask = self.to_segments(tokens.with_positions())
        return self.to_videos(self.reduce(segments), segments, mask)

    def to_segments(self, tokens: VideoTokens) -> tuple[VideoTokens, Tensor | None]:
        """View each segment as a video (B * S, F, ...), and return their mask (B, S).

        The mask of a segment's frames is None where all count.
        """
        if tokens.prefix_frames is not None and tokens.num_prefix:
            raise InputError(f'{self} would average the class tokens of different '
                             'frames, which a neck in front of it keeps')
        if self.adaptive_segments:
            return self._to_adaptive_segments(tokens)
        mask, frames = tokens.frame_mask, tokens.patches.shape[1]
        check_segments(self, self.num_segments, frames)
        if not self.exclude_padding:
            tokens = tokens.replace(frame_mask=None)
        if mask is not None:
            mask = (mask.unflatten(1, (self.num_segments, -1)).any(dim=2)
                    if self.exclude_padding else segment_mask(mask, self.num_segments))
        return tokens.segments(self.num_segments), mask

    def _to_adaptive_segments(self, tokens: VideoTokens
                              ) -> tuple[VideoTokens, Tensor | None]:
        """Cut where frames change most, and pad with a segment's last frame.

        A segment that has nothing but the video's padding is not real.
        """
        frames, patches = tokens.patches.shape[1:3]
        mask, count = tokens.frame_mask, None
        shortest = self.fewest_frames(patches)
        longest = slots = max(shortest, -(-2 * frames // self.num_segments))
        if mask is not None:
            numbers = torch.arange(1, frames + 1, device=mask.device)
            count = (mask * numbers).amax(dim=1).clamp(
                self.num_segments * shortest, frames)
            longest = (2 * count + self.num_segments - 1) // self.num_segments
            longest = longest.clamp(min=shortest)
        with named_errors(str(self)):
            starts, lengths = cut_at_changes(
                frame_changes(tokens.patches, mask), self.num_segments, shortest,
                longest, count)
        slot = torch.arange(slots, device=starts.device)
        own = slot < lengths[..., None]  # (B, S, F), else it repeats the last one
        index = starts[..., None] + torch.minimum(slot, lengths[..., None] - 1)
        segments = tokens.take_frames(index.flatten(1))
        if mask is not None:
            real = own & segments.frame_mask.view_as(own)
            mask = real.any(dim=2)
            own = real | own & ~mask[..., None]
        segments = segments.replace(frame_mask=own.flatten(1), attend_masked=False)
        return segments.segments(self.num_segments), mask

    def fewest_frames(self, patches: int) -> int:
        """Return how many frames of so many patches a segment must have."""
        return 1

    def to_videos(self, reduced: VideoTokens, segments: VideoTokens,
                  mask: Tensor | None) -> VideoTokens:
        """View reduced segments as videos of S frames."""
        reduced = reduced.replace(frame_mask=None, first_frames=segments.first_of_all())
        return reduced.videos(self.num_segments).replace(frame_mask=mask)

    @abstractmethod
    def reduce(self, segments: VideoTokens) -> VideoTokens:
        """Reduce each segment, a video of F frames, to one frame.

        From patches (B * S, F, N, C), with positions, and the mask of the frames that
        count, to patches (B * S, 1, K, C), with positions, size, and the prefix of
        :meth:`mean_prefix`.
        """

    def mean_prefix(self, segments: VideoTokens) -> Tensor:
        """Return each segment's mean prefix tokens, (B * S, 1, P, C)."""
        return weighted_mean(segments.prefix, segments.frame_mask)

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_segments={self.num_segments}'
