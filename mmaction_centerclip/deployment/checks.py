"""Compare an exported model with the one that it was made of."""
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .onnx_retriever import OnnxRetriever
from .programs import TextEncoder, VideoEncoder


@dataclass(frozen=True)
class Difference:
    """How far features are from those of torch."""
    largest: float  # difference of a value, as a share of the largest value
    cosine: float  # of the two features of a video or caption, the lowest

    def __str__(self) -> str:
        return (f'largest difference {self.largest:.1e} of the largest value, lowest '
                f'cosine {self.cosine:.5f}')


def difference(got: Tensor, expected: Tensor) -> Difference:
    """Compare features (N, E) with those that are expected."""
    expected = expected.float()
    cosine = torch.cosine_similarity(got, expected, dim=-1).min()
    largest = (got - expected).abs().max() / expected.abs().max()
    return Difference(float(largest), float(cosine))


@torch.no_grad()
def compare_videos(model: nn.Module, exported: OnnxRetriever, imgs: Tensor,
                   frame_mask: Tensor | None = None) -> Difference:
    """Compare the segments of frames, uint8 (B, T, 3, H, W)."""
    if frame_mask is None:
        frame_mask = torch.ones(imgs.shape[:2], dtype=torch.bool)
    _, segments, *_ = VideoEncoder(model)(imgs, frame_mask)
    got = exported.encode(dict(imgs=imgs, frame_mask=frame_mask))['segments']
    return difference(got.flatten(0, 1), segments.flatten(0, 1))


@torch.no_grad()
def compare_texts(model: nn.Module, exported: OnnxRetriever, ids: Tensor) -> Difference:
    """Compare captions of token ids, int64 (C, L)."""
    return difference(exported.text_features(ids)['text'], TextEncoder(model)(ids))


@torch.no_grad()
def compare_times(model: nn.Module, exported: OnnxRetriever, imgs: Tensor,
                  repeats: int = 5) -> tuple[float, float]:
    """Return seconds of torch and of the exported model for these frames, in turns."""
    mask = torch.ones(imgs.shape[:2], dtype=torch.bool)
    encoder = VideoEncoder(model)
    runs: tuple[Callable[[], object], ...] = (
        lambda: encoder(imgs, mask),
        lambda: exported.encode(dict(imgs=imgs, frame_mask=mask)))
    seconds: tuple[list, list] = ([], [])
    for turn in range(repeats + 1):
        for run, spent in zip(runs, seconds):
            start = time.perf_counter()
            run()
            if turn:  # The first one warms up.
                spent.append(time.perf_counter() - start)
    return tuple(map(statistics.median, seconds))
