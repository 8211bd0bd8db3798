"""Base classes of necks, and of those that reduce tokens."""
from abc import ABCMeta, abstractmethod
from collections.abc import Callable

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import segment_mask, weighted_mean

__all__ = ['TokenNeck', 'TokenReducer', 'build_neck']


class TokenNeck(BaseModule, metaclass=ABCMeta):
    """Rewrite a video's tokens between two transformer blocks.

    Args:
        before_block (int): The transformer block in front of which this neck
            stands, counted from 1: 7 means after six complete blocks, the
            paper's B6.
        embed_dims (int, optional): Width C of the tokens; a tower gives its
            own. Defaults to None.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If ``before_block`` is not a positive integer.
    """
    inside_block = False
    """Also applied between the block's attention and its MLP."""
    keeps_places = False
    """Leaves every frame, or segment, the full grid of its patches, each at its
    place: hosts whose blocks tell tokens apart by their order take no other."""

    def __init__(self, before_block: int, embed_dims: int | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.embed_dims = embed_dims
        self.before_block = check_positive_int(
            f'{type(self).__name__}: before_block', before_block)

    @abstractmethod
    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Return tokens of other frames, of other number, or other values.

        ``positions`` and ``size`` follow the patch tokens where they are
        known.
        """

    def after(self, step: Callable[[Tensor], Tensor],
              tokens: VideoTokens) -> VideoTokens:
        """Return ``self(tokens.map(step))``, as cheaply as the neck can.

        Args:
            step (Callable): Maps tokens (B, L, C), each on its own, as the
                MLP of a block does.
            tokens (VideoTokens): In front of the step.
        """
        return self(tokens.map(step))

    def init_from_positions(self, positions: Tensor) -> None:
        """Start learned embeddings from the host's, if there are any.

        Args:
            positions (Tensor): Of the patches, shape (N, C).
        """

    def extra_repr(self) -> str:
        return f'before_block={self.before_block}'


def build_neck(config: dict, embed_dims: int) -> TokenNeck:
    """Build a neck for tokens of a width.

    Args:
        config (dict): With the ``type`` of a :class:`TokenNeck`.
        embed_dims (int): Width C, unless the config says another.

    Raises:
        InputError: If it is no neck's config.
    """
    name = config.get('type') if isinstance(config, dict) else None
    cls = MODELS.get(name) if isinstance(name, str) else name
    if not isinstance(cls, type) or not issubclass(cls, TokenNeck):
        raise InputError(f'necks must be configs of token necks, got {config!r}')
    if 'record' in config:
        raise InputError(f'{name}: record is gone; the positions of the tokens that '
                         'a neck returns say which it kept')
    return MODELS.build(config, default_args=dict(embed_dims=embed_dims))


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
        embed_dims (int, optional): See :class:`TokenNeck`. Defaults to None.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        InputError: If an option is not a positive integer, or in the forward
            pass if ``num_segments`` does not divide the frames.
    """

    def __init__(self, before_block: int, num_segments: int,
                 exclude_padding: bool = False, embed_dims: int | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(before_block, embed_dims, init_cfg)
        self.num_segments = check_positive_int(
            f'{type(self).__name__}: num_segments', num_segments)
        self.exclude_padding = exclude_padding

    def forward(self, tokens: VideoTokens) -> VideoTokens:
        """Reduce (B, T, P + N, C) to (B, S, P + K, C)."""
        segments = self.to_segments(tokens)
        return self.to_videos(self.reduce(segments), tokens)

    def to_segments(self, tokens: VideoTokens) -> VideoTokens:
        """View each segment as a video (B * S, F, ...), with its positions.

        The frame mask is of the frames that count: None where all do.
        """
        frames = tokens.patches.shape[1]
        if frames % self.num_segments:
            raise InputError(
                f'{self}: num_segments must divide the number of frames, got '
                f'{self.num_segments} segments for {frames} frames')
        if not self.exclude_padding:
            tokens = tokens._replace(frame_mask=None)
        return tokens.with_positions().segments(self.num_segments)

    def to_videos(self, segments: VideoTokens, tokens: VideoTokens) -> VideoTokens:
        """Join reduced segments to videos of S frames.

        Args:
            segments (VideoTokens): Patches (B * S, 1, K, C), and the prefix
                of all frames (B * S, F, P, C).
            tokens (VideoTokens): The videos before.
        """
        prefix = weighted_mean(segments.prefix, segments.frame_mask)
        videos = segments._replace(prefix=prefix, frame_mask=None).videos(
            self.num_segments)
        mask = tokens.frame_mask
        if mask is not None and self.exclude_padding:
            mask = mask.unflatten(1, (self.num_segments, -1)).any(dim=2)
        elif mask is not None:
            mask = segment_mask(mask, self.num_segments)
        return videos._replace(frame_mask=mask)

    @abstractmethod
    def reduce(self, segments: VideoTokens) -> VideoTokens:
        """Reduce each segment's patch tokens to those of one frame.

        Args:
            segments (VideoTokens): A segment of F frames a video: patches
                (B * S, F, N, C), positions (B * S, F, N), and the mask of the
                frames that count, bool (B * S, F), None if all do.

        Returns:
            VideoTokens: The same with patches (B * S, 1, K, C), and positions
            and size (B * S, 1, K).
        """

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, num_segments={self.num_segments}'
