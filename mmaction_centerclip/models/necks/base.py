"""What all token reducers share: segments, class token, frame mask."""
from abc import ABCMeta, abstractmethod

from mmengine.model import BaseModule
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.video_tokens import VideoTokens

__all__ = ['TokenReducer', 'reduce_frame_mask']


class TokenReducer(BaseModule, metaclass=ABCMeta):
    """Merge the frames of a video into segments with fewer tokens.

    T frames become ``num_segments`` segments of T / ``num_segments``
    consecutive frames. A segment keeps the mean of its frames' class tokens,
    and of its patch tokens what :meth:`reduce` leaves.

    Args:
        before_block (int): The transformer block in front of which this neck
            stands, counted from 1: 7 means after six complete blocks, the
            paper's B6.
        num_segments (int): Segments S to leave; must divide the frames.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If an option is not a positive integer, or in the forward
            pass if ``num_segments`` does not divide the frames.
    """

    def __init__(self,
                 before_block: int,
                 num_segments: int,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.before_block = self._positive('before_block', before_block)
        self.num_segments = self._positive('num_segments', num_segments)

    def _positive(self, name: str, value: int) -> int:
        if not isinstance(value, int) or value < 1:
            raise InputError(f'{type(self).__name__}: {name} must be a '
                             f'positive integer, got {value!r}')
        return value

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Reduce (B, T, P + N, C) to (B, S, P + K, C)."""
        batch, frames, num_patches, channels = tokens.patches.shape
        segments = self.num_segments
        if frames % segments:
            raise InputError(
                f'{self}: num_segments must divide the number of frames, got '
                f'{segments} segments for {frames} frames')
        patches = tokens.patches.reshape(batch * segments, -1, channels)
        prefix = tokens.prefix.unflatten(1, (segments, -1)).mean(dim=2)
        mask = tokens.frame_mask
        if mask is not None:
            mask = reduce_frame_mask(mask, segments)
        kept = self.reduce(patches).unflatten(0, (batch, segments))
        return VideoTokens(prefix, kept, mask)

    @abstractmethod
    def reduce(self, patches: Tensor) -> Tensor:
        """Reduce each segment's tokens (B * S, T / S * N, C) to K."""

    def extra_repr(self) -> str:
        return (f'before_block={self.before_block}, '
                f'num_segments={self.num_segments}')


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
