"""The tokens of videos, as they go from step to step of a tower."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmaction_centerclip.ops import segment_mask, weighted_mean


@dataclass(eq=False)
class VideoTokens:
    """The tokens of B videos of S frames (later segments) in a transformer's layout."""
    x: Tensor  # P prefix tokens, then N patches of each frame, (B * S, P + N, C)
    batch_size: int
    num_prefix: int  # P, which may differ from step to step
    frame_mask: Tensor | None = None  # True where a frame is real, bool (B, S)
    # Where each patch token comes from, int64 (B, S, N): frame * patches of a frame +
    # patch, as before the first neck. None where every patch is at its place.
    positions: Tensor | None = None
    # Patches of each token, int64 (B, S, N), or float32 of weighted ones; None: one.
    size: Tensor | None = None
    # What attention compared the patch tokens by, averaged over its heads,
    # (B, S, N, D), and how evenly each attended, see `AttentionHooks.entropy`,
    # (B, S, N). Only inside a block, for a neck that needs them.
    keys: Tensor | None = None
    entropy: Tensor | None = None
    # First of the tower's frames that each stands for, int64 (B, S). None: its own.
    first_frames: Tensor | None = None
    # Of clips that keep the prefix tokens of M frames each: the two above of those
    # frames, (B, S, M).
    prefix_mask: Tensor | None = None
    prefix_frames: Tensor | None = None
    attend_masked: bool = True  # Attention that joins frames sees those not real.
    # Packed: tokens of each of the B * S rows, which lie behind each other in x, (1, L,
    # C), and without the prefixes in positions and size, (1, 1, K). None: not packed.
    lengths: tuple[int, ...] | None = None

    @classmethod
    def of(cls, x: Tensor, batch_size: int, num_prefix: int,
           frame_mask: Tensor | None = None) -> 'VideoTokens':
        """Start from embedded frames; those embedded together have one mask."""
        if frame_mask is not None:
            frame_mask = segment_mask(frame_mask, x.shape[0] // batch_size)
        return cls(x, batch_size, num_prefix, frame_mask)

    @classmethod
    def of_parts(cls, prefix: Tensor, patches: Tensor,
                 frame_mask: Tensor | None = None,
                 **known: Tensor | None) -> 'VideoTokens':
        """Join prefix (B, S, P, C) and patches (B, S, N, C)."""
        x = torch.cat([prefix, patches], dim=2).flatten(0, 1)
        return cls(x, patches.shape[0], prefix.shape[2], frame_mask, **known)

    @property
    def by_frame(self) -> Tensor:
        """View of the tokens, shape (B, S, P + N, C)."""
        if self.lengths is not None:
            raise RuntimeError('packed tokens are no frames of one length; '
                               'use padded()')
        return self.x.unflatten(0, (self.batch_size, -1))

    @property
    def prefix(self) -> Tensor:
        """View of the prefix tokens, shape (B, S, P, C)."""
        return self.by_frame[:, :, :self.num_prefix]

    @property
    def patches(self) -> Tensor:
        """View of the patch tokens, shape (B, S, N, C)."""
        return self.by_frame[:, :, self.num_prefix:]

    def replace(self, prefix: Tensor | None = None, patches: Tensor | None = None,
                **changes: object) -> 'VideoTokens':
        """Return the tokens with other prefix, patches, or fields.

        Patches of other number need their ``positions`` and ``size``, and other frames
        their ``first_frames``, else unknown. The keys go with the patches before.
        """
        fields = dict(vars(self))
        if patches is not None:
            fields.update(keys=None, entropy=None)
        if prefix is not None or patches is not None:
            prefix = self.prefix if prefix is None else prefix
            patches = self.patches if patches is None else patches
            fields.update(x=torch.cat([prefix, patches], dim=2).flatten(0, 1),
                          batch_size=patches.shape[0], num_prefix=prefix.shape[2])
            if prefix.shape[1] != self.x.shape[0] // self.batch_size:
                fields.update(first_frames=None)
        fields.update(changes)
        return VideoTokens(**fields)

    def map(self, function: Callable[[Tensor], Tensor]) -> 'VideoTokens':
        """Apply a function that takes and returns tokens (B * S, P + N, C)."""
        return self.replace(x=function(self.x))

    def packed(self) -> 'VideoTokens':
        """Put the rows behind each other, without the tokens of size 0 at their ends.

        Those that have none, and those of unknown positions, stay as they are.
        """
        if self.size is None or self.positions is None or self.size.all():
            return self
        counts = (self.size > 0).sum(dim=-1).flatten().tolist()
        lengths = tuple(self.num_prefix + count for count in counts)

        def behind_each_other(rows: Tensor, lengths: Sequence[int]) -> Tensor:
            return torch.cat([row[:length] for row, length in zip(rows, lengths)])

        positions, size = (behind_each_other(known.flatten(0, 1), counts)[None, None]
                           for known in (self.positions, self.size))
        return self.replace(x=behind_each_other(self.x, lengths)[None],
                            positions=positions, size=size, lengths=lengths)

    def rows(self) -> list['VideoTokens']:
        """Return each row of packed tokens as a video of one frame."""
        counts = [length - self.num_prefix for length in self.lengths]
        return [VideoTokens(x, 1, self.num_prefix, positions=positions, size=size)
                for x, positions, size in zip(
                    self.x.split(self.lengths, 1), self.positions.split(counts, 2),
                    self.size.split(counts, 2))]

    def padded(self) -> 'VideoTokens':
        """Return packed tokens as rows of one length, with tokens of size 0."""
        if self.lengths is None:
            return self
        parts = zip(*((row.x[0], row.positions[0, 0], row.size[0, 0])
                      for row in self.rows()))
        x, positions, size = (pad_sequence(part, batch_first=True) for part in parts)
        shape = self.batch_size, -1
        return self.replace(x=x, positions=positions.unflatten(0, shape),
                            size=size.unflatten(0, shape), lengths=None)

    def with_positions(self) -> 'VideoTokens':
        """Return the tokens with ``positions`` and ``first_frames``."""
        if self.positions is not None:
            return self
        batch_size, frames, patches, _ = self.patches.shape
        places = torch.arange(frames * patches, device=self.x.device)
        return self.replace(
            positions=places.view(1, frames, patches).expand(batch_size, -1, -1),
            first_frames=places[:frames].expand(batch_size, -1))

    def first_of_all(self) -> Tensor | None:
        """Return the first frame that each video stands for, int64 (B, 1)."""
        return None if self.first_frames is None else self.first_frames[:, :1]

    def segments(self, num_segments: int) -> 'VideoTokens':
        """View each of so many segments of every video as a video."""
        return self._with_known(
            lambda known: known.unflatten(1, (num_segments, -1)).flatten(0, 1),
            batch_size=self.batch_size * num_segments)

    def videos(self, num_segments: int) -> 'VideoTokens':
        """View every so many videos, one after the other, as one."""
        return self._with_known(
            lambda known: known.unflatten(0, (-1, num_segments)).flatten(1, 2),
            batch_size=self.batch_size // num_segments)

    def take_frames(self, index: Tensor) -> 'VideoTokens':
        """Return the frames of an index, int64 (B, M), any of them repeatedly."""
        batch = torch.arange(index.shape[0], device=index.device)[:, None]
        return self._with_known(lambda known: known[batch, index],
                                x=self.by_frame[batch, index].flatten(0, 1))

    def joined_clips(self, num_clips: int) -> 'VideoTokens':
        """Join neighbouring frames to clips, and keep all prefix tokens in front.

        Of tokens :meth:`with_positions`.
        """
        if self.prefix_frames is None:  # Each clip has those of one frame.
            mask, first = (None if known is None else known[..., None]
                           for known in (self.frame_mask, self.first_frames))
            return self.replace(prefix_mask=mask, prefix_frames=first).joined_clips(
                num_clips)

        def of_clips(known: Tensor) -> Tensor:
            return known.unflatten(1, (num_clips, -1))

        mask = self.frame_mask
        joined = self._with_known(
            lambda known: of_clips(known).flatten(2, 3),
            frame_mask=None if mask is None else of_clips(mask).any(dim=2),
            first_frames=of_clips(self.first_frames)[:, :, 0])
        return joined.replace(
            *(of_clips(part).flatten(2, 3) for part in (self.prefix, self.patches)),
            first_frames=joined.first_frames)

    def split_prefix(self, num_prefix: int) -> 'VideoTokens':
        """Return the prefix tokens of all frames that clips have kept, as frames."""
        if self.num_prefix == num_prefix:
            return self
        mask, frames = (None if known is None else known.flatten(1)
                        for known in (self.prefix_mask, self.prefix_frames))
        x = self.prefix.unflatten(2, (-1, num_prefix)).flatten(0, 2)
        return VideoTokens(x, self.batch_size, num_prefix, mask, first_frames=frames)

    def joined_frames(self) -> 'VideoTokens':
        """Join the patches of all frames to one frame's, behind the mean prefix."""
        if self.x.shape[0] == self.batch_size:
            return self
        mask = self.frame_mask
        joined = self._with_known(
            lambda known: known.flatten(1, 2)[:, None],
            frame_mask=None if mask is None else mask.any(dim=1, keepdim=True),
            first_frames=self.first_of_all())
        return joined.replace(prefix=weighted_mean(self.prefix, mask),
                              patches=self.patches.flatten(1, 2)[:, None],
                              keys=joined.keys, entropy=joined.entropy)

    def _with_known(self, function: Callable[[Tensor], Tensor],
                    **changes: object) -> 'VideoTokens':
        """Return the tokens with what is known of them mapped by a function."""
        known = dict(frame_mask=self.frame_mask, positions=self.positions,
                     size=self.size, keys=self.keys, entropy=self.entropy,
                     first_frames=self.first_frames, prefix_mask=self.prefix_mask,
                     prefix_frames=self.prefix_frames)
        known = {name: None if value is None else function(value)
                 for name, value in known.items() if name not in changes}
        return self.replace(**known, **changes)
