"""A retriever's parts as functions of tensors, by ``torch.export``."""
from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmaction_centerclip.errors import InputError


class VideoEncoder(nn.Module):
    """Encode frames (B, T, 3, H, W), with a mask (B, T) of real ones.

    Returns ``video`` (B, E), ``segments`` (B, S, E), ``segment_mask`` (B, S) and
    ``segment_starts``, each one's first frame, int64 (B, S). Frames are uint8, or with
    ``normalized`` as the data preprocessor leaves them.
    """
    def __init__(self, model: nn.Module, normalized: bool = False) -> None:
        super().__init__()
        self.model, self.normalized = model, normalized

    def forward(self, frames: Tensor, frame_mask: Tensor | None = None
                ) -> tuple[Tensor, ...]:
        model = self.model
        if not self.normalized:
            known = model.data_preprocessor
            frames = (frames - known.mean) / known.std
            frames = frames.to(model.text_backbone.positional_embedding.dtype)
        segments, mask, starts = model.encode_segments(
            dict(imgs=frames, frame_mask=frame_mask))
        segments = model.project(segments)
        if starts is None:  # As many frames each.
            starts = torch.arange(0, frames.shape[1],
                                  frames.shape[1] // segments.shape[1])
            starts = starts.expand(segments.shape[0], -1)
        video = model.head.video_features(segments, mask)['video']
        return video, segments.float(), mask, starts


class TextEncoder(nn.Module):
    """Encode token ids (B, L) to ``text`` (B, E)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, text: Tensor) -> Tensor:
        head = self.model.head
        return head.text_features(self.model.text_backbone(text))['text']


class HeadEncoder(TextEncoder):
    """Pool segments (B, S, E), with their mask (B, S), to ``video`` (B, E)."""

    def forward(self, segments: Tensor, segment_mask: Tensor) -> Tensor:
        return self.model.head.video_features(segments, segment_mask)['video']


class VideoVectors(VideoEncoder):
    """Encode normalised frames (B, T, 3, H, W) to features of videos (B, E)."""

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(frames)[0]


def export_program(encoder: nn.Module, *examples: Tensor,
                   dynamic: Sequence[str] = ('batch', )) -> ExportedProgram:
    """Export an encoder, for other sizes of the first dimensions, that are named.

    Examples are of more than one in these; torch takes a one for a constant.
    """
    shapes = {place: Dim.DYNAMIC for place in range(len(dynamic))}
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        # The fused attention fixes the length of what it sees.
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad():
            return torch.export.export(
                encoder.eval(), examples, strict=False,
                dynamic_shapes=tuple(shapes for _ in examples) if shapes else None)
    except InputError:
        raise
    except Exception as error:  # torch has no class of its own for most
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f'{type(encoder.model.backbone).__name__} cannot be exported '
                         f'with these necks: {reason[0]}') from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def check_exportable(model: nn.Module, onnx: bool = True) -> None:
    """Raise an InputError that says in a line why a retriever cannot be exported."""
    reason = why_not(model, onnx)
    if reason is not None:
        raise InputError(f'{reason}; docs/deployment.md has what can be exported')


def check_any_frames(model: nn.Module) -> None:
    """Raise an InputError where a retriever's export fixes the number of frames."""
    tower = model.backbone
    if tower.joins_frames:
        raise InputError(f'the number of frames is fixed by {type(tower).__name__}, '
                         'whose attention joins them')
    # Behind the first one of these the number of segments is fixed anyway.
    cuts = [neck.before_block for neck in tower.necks
            if getattr(neck, 'num_segments', None) is not None]
    for neck in tower.necks:
        if not neck.any_frames and neck.before_block <= min(cuts, default=inf):
            raise InputError(f'the number of frames is fixed by {neck}; '
                             'docs/deployment.md has necks that take any')


def why_not(model: nn.Module, onnx: bool = True) -> str | None:
    """Return why a retriever's head or necks cannot be exported; None if they can."""
    head = model.head
    if not head.separable:
        return f'{type(head).__name__} compares pairs, so that a video is no vector'
    if head.without_export:
        return f'{type(head).__name__} {head.without_export}'
    for neck in model.backbone.necks:
        if neck.pads:
            return (f'{neck} keeps as many tokens as the video has, so that rows '
                    'differ in length')
        if getattr(neck, 'adaptive_segments', False) and model.backbone.joins_frames:
            return (f'{neck} has adaptive_segments=True in a tower whose attention '
                    'joins frames, and attends to as many as are real')
        if onnx and neck.without_onnx:
            return f'{neck} {neck.without_onnx}'
    return None
