"""What all necks, and all token reducers, share."""
from abc import ABCMeta, abstractmethod

from mmengine.model import BaseModule
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens

__all__ = ['TokenNeck', 'TokenReducer', 'reduce_frame_mask', 'weighted_mean']


class TokenNeck(BaseModule, metaclass=ABCMeta):
    """Something that stands between two transformer blocks.

    Args:
        before_block (int): The transformer block in front of which this neck
            stands, counted from 1: 7 means after six complete blocks, the
            paper's B6.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If ``before_block`` is not a positive integer.
    """
    inside_block = False
    """Whether it works a second time, between the block's attention and MLP."""

    def __init__(self, before_block: int, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.before_block = self._positive('before_block', before_block)

    def _positive(self, name: str, value: int) -> int:
        if not isinstance(value, int) or value < 1:
            raise InputError(f'{type(self).__name__}: {name} must be a '
                             f'positive integer, got {value!r}')
        return value

    def _one_of(self, name: str, value: object, choices: tuple) -> object:
        if value not in choices:
            raise InputError(f'{type(self).__name__}: {name} must be one of '
                             f'{choices}, got {value!r}')
        return value

    @abstractmethod
    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Tokens of other frames, of other number, or other values."""

    def extra_repr(self) -> str:
        return f'before_block={self.before_block}'


class TokenReducer(TokenNeck):
    """Merge the frames of a video into segments with fewer tokens.

    T frames become ``num_segments`` segments of T / ``num_segments``
    consecutive frames. A segment keeps the mean of its frames' class tokens,
    and of its patch tokens what :meth:`reduce` leaves.

    Args:
        before_block (int): Block in front of which to reduce, from 1.
        num_segments (int): Segments S to leave; must divide the frames.
        exclude_padding (bool): Whether frames that the frame mask marks as
            padding stay out of the reduction and of the class token's mean,
            and a segment with any other frame counts. CenterCLIP lets them
            take part. Defaults to False.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If an option is not a positive integer, or in the forward
            pass if ``num_segments`` does not divide the frames.
    """

    def __init__(self,
                 before_block: int,
                 num_segments: int,
                 exclude_padding: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(before_block, init_cfg)
        self.num_segments = self._positive('num_segments', num_segments)
        self.exclude_padding = exclude_padding

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Reduce (B, T, P + N, C) to (B, S, P + K, C)."""
        mask, valid = self._masks(tokens)
        patches = self.reduce(self._by_segment(tokens.patches), valid)
        return self._join(tokens.prefix, patches, mask, valid)

    def _masks(self, tokens: VideoTokens) -> tuple[Tensor | None, Tensor | None]:
        """The mask of segments (B, S), and of frames that count (B * S, F)."""
        segments, frames = self.num_segments, tokens.patches.shape[1]
        if frames % segments:
            raise InputError(
                f'{self}: num_segments must divide the number of frames, got '
                f'{segments} segments for {frames} frames')
        mask = tokens.frame_mask
        if mask is None:
            return None, None
        if not self.exclude_padding:
            return reduce_frame_mask(mask, segments), None
        frames = mask.unflatten(1, (segments, -1))
        return frames.any(dim=2), frames.flatten(0, 1)

    def _by_segment(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, N, C) as (B * S, F, N, C)."""
        return tokens.unflatten(1, (self.num_segments, -1)).flatten(0, 1)

    def _join(self, prefix: Tensor, patches: Tensor, mask: Tensor | None,
              valid: Tensor | None) -> VideoTokens:
        """Prefix tokens of frames, and what is left of a segment's patches."""
        prefix = weighted_mean(self._by_segment(prefix), valid)
        shape = (-1, self.num_segments)
        return VideoTokens(
            prefix.unflatten(0, shape), patches.unflatten(0, shape), mask)

    @abstractmethod
    def reduce(self, patches: Tensor, valid: Tensor | None) -> Tensor:
        """Reduce each segment's patch tokens.

        Args:
            patches (Tensor): Shape (B * S, F, N, C) of F frames a segment.
            valid (Tensor | None): Frames that count, bool (B * S, F); None
                if all do.

        Returns:
            Tensor: Shape (B * S, K, C).
        """

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_segments={self.num_segments}'


def weighted_mean(tokens: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the frames that count; over all where none does.

    Args:
        tokens (Tensor): Shape (M, F, N, C).
        valid (Tensor | None): Bool (M, F).

    Returns:
        Tensor: Shape (M, N, C).
    """
    if valid is None:
        return tokens.mean(dim=1)
    valid = valid | ~valid.any(dim=1, keepdim=True)
    weights = valid.to(tokens.dtype) / valid.sum(dim=1, keepdim=True)
    return (tokens * weights[:, :, None, None]).sum(dim=1)


def reduce_frame_mask(frame_mask: Tensor, num_segments: int) -> Tensor:
    """The mask of segments, from that of frames.

    A segment takes the mask of its last frame, as in CenterCLIP. Where that
    leaves a video with no segment at all (fewer valid frames than one segment
    holds), every segment with a valid frame counts instead.

    Args:
        frame_mask (Tensor): Bool (B, T).
        num_segments (int): Segments S, a divisor of T.

    Returns:
        Tensor: Bool (B, S).
    """
    frames = frame_mask.unflatten(1, (num_segments, -1))
    last = frames[:, :, -1]
    return last | (frames.any(dim=2) & ~last.any(dim=1, keepdim=True))
