"""Choose tokens: at equal steps, at random, or by a score."""
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError

from .kmedoids import check_problem
from .temporal import weighted_mean


def sparse_sampling(num_tokens: int, num_centers: int, num_segments: int = 1, *,
                    training: bool = False, generator: torch.Generator | None = None,
                    device: torch.device | str | None = None) -> Tensor:
    """Choose tokens without looking at them, int64 (S, K), ascending.

    CenterCLIP (arXiv 2205.00823, Sec. 4.4). In evaluation one from each of K equal
    steps, floor(step / 2 + step * i). In training K at random, by a ``generator`` on
    the CPU, the same for the whole batch and different per segment.
    """
    if not 1 <= num_centers <= num_tokens:
        raise InputError(f'num_centers must be from 1 to the {num_tokens} tokens'
                         f', got {num_centers!r}')
    if training:
        order = torch.rand(num_segments, num_tokens, generator=generator)
        indices = order.topk(num_centers).indices.sort(dim=-1).values
    else:
        steps = torch.arange(num_centers, dtype=torch.float64)
        step = num_tokens / num_centers
        indices = (step / 2 + step * steps).floor().long().repeat(num_segments, 1)
    return indices.to(device)


def seeded_scores(tokens: Tensor, num_segments: int, seed: int) -> Tensor:
    """Return random numbers for the N tokens of S segments, always the same (S, N).

    From 0 to 1, by a generator on the CPU; ``tokens`` are any (B, N, C).
    """
    return _seeded_scores(tokens, num_segments, seed)


# An operator of torch: an exporter would have the numbers drawn anew.
@torch.library.custom_op('mmaction_centerclip::seeded_scores', mutates_args=())
def _seeded_scores(tokens: Tensor, num_segments: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_segments, tokens.shape[1], generator=generator).to(
        tokens.device)


@_seeded_scores.register_fake
def _like_seeded_scores(tokens: Tensor, num_segments: int, seed: int) -> Tensor:
    return tokens.new_empty(num_segments, tokens.shape[1], dtype=torch.float32)


@torch.no_grad()
def largest(scores: Tensor, num_centers: int, valid: Tensor | None = None) -> Tensor:
    """Return the tokens with the largest scores (B, N), ascending, int64 (B, K).

    Ties go to the lowest index; padding (``valid`` is False) comes after all others.
    """
    check_problem(scores[..., None], num_centers)
    order = scores.argsort(dim=1, descending=True, stable=True)
    if valid is not None:
        first = valid.gather(1, order).to(torch.int8)
        order = order.gather(1, first.argsort(dim=1, descending=True, stable=True))
    return order[:, :num_centers].sort(dim=1).values


@torch.no_grad()
def largest_share(scores: Tensor, share: float, num_segments: int,
                  valid: Tensor | None = None) -> Tensor:
    """Return a share of each video's tokens, those with the largest scores (B * S, N).

    At least one of every segment. Ties go to tokens of higher rank in their segment;
    padding (``valid`` is False) does not count. Int64 (B * S, K), ascending, -1 behind.

    Examples:
        >>> largest_share(torch.tensor([[5., 7, 6, 8], [1, 4, 2, 3]]), 0.5, 2)
        tensor([[ 1,  2,  3],
                [ 1, -1, -1]])
    """
    valid = torch.ones_like(scores, dtype=torch.bool) if valid is None else valid
    scores = scores.masked_fill(~valid, -torch.inf)
    order = scores.argsort(dim=1, descending=True, stable=True)
    ranked = scores.gather(1, order)
    ranked[:, 0] = torch.inf
    ranked = ranked.unflatten(0, (-1, num_segments)).mT.flatten(1)  # (B, N * S)
    place = ranked.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    count = valid.unflatten(0, (-1, num_segments)).sum(dim=(1, 2)) * share
    kept = place < count.round().clamp(min=num_segments)[:, None]
    kept = kept.unflatten(1, (-1, num_segments)).mT.flatten(0, 1)  # by rank
    tokens = scores.shape[1]
    indices = order.masked_fill(~kept, tokens).sort(dim=1).values
    return indices.masked_fill(indices == tokens, -1)[:, :int(kept.sum(dim=1).max())]


@torch.no_grad()
def rarity(tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """Return the distances of tokens (B, N, C) to their mean, float32 or more, (B, N).

    Euclidean; padding (``valid`` is False) is in no mean, unless all is.
    """
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    return norms(tokens - weighted_mean(tokens[:, :, None], valid)[:, 0])


@torch.no_grad()
def norms(tokens: Tensor) -> Tensor:
    """Return the Euclidean norms of tokens (B, N, C), float32 or more, (B, N)."""
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    return torch.linalg.vector_norm(tokens, dim=-1, dtype=dtype)


@torch.no_grad()
def similarity_to(tokens: Tensor, references: Tensor) -> Tensor:
    """Return the cosines of tokens and references of one shape (..., C), (...)."""
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    return F.cosine_similarity(tokens.to(dtype), references.to(dtype), dim=-1)


@torch.no_grad()
def novelty(tokens: Tensor, frames: int, valid: Tensor | None = None) -> Tensor:
    """Return how far each token is from the nearest one in the frame before.

    By the cosine distance, (B, F * N) of tokens (B, F * N, C), which are frame-major;
    infinite in the first frame, and behind a frame of padding (``valid`` is False).
    """
    check_problem(tokens, 1)
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    with torch.autocast(tokens.device.type, enabled=False):
        tokens = F.normalize(tokens.to(dtype), dim=-1).unflatten(1, (frames, -1))
        similarity = tokens[:, 1:] @ tokens[:, :-1].mT  # (B, F - 1, N, N)
    if valid is not None:
        before = valid.unflatten(1, (frames, -1))[:, :-1, None]
        similarity = similarity.masked_fill(~before, -torch.inf)
    nearest = (1 - similarity.amax(dim=-1)).clamp(min=0)
    return F.pad(nearest, (0, 0, 1, 0), value=torch.inf).flatten(1)
