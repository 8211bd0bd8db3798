"""Find where an evaluation goes wrong."""
from typing import NamedTuple

import torch
from torch import Tensor

from mmaction_centerclip.errors import check_positive_int
from mmaction_centerclip.evaluation.functional import better_and_tied, check_similarity


class Failure(NamedTuple):
    """A caption whose own video comes late."""
    text: int
    rank: float  # of its video, from 1; the expected one in a tie
    videos: list[int]  # the most similar ones, the first one first


class Confusion(NamedTuple):
    """Captions of two videos that are alike to the model."""
    texts: tuple[int, int]  # the first finds the second's video no later
    videos: tuple[int, int]  # their own
    difference: float  # of similarities to all videos, the root mean square


def worst_queries(similarity: Tensor, video_of_text: Tensor, count: int,
                  topk: int = 5) -> list[Failure]:
    """Return the captions whose own videos have the highest ranks, first.

    Those that find their own video alone at the first place are no failures.
    ``similarity`` is finite, (texts, videos); ``video_of_text`` is int64 (texts, ).
    """
    check_positive_int('count', count)
    check_positive_int('topk', topk)
    similarity, own = check_similarity(similarity, video_of_text)
    better, tied = better_and_tied(similarity, own)
    ranks = better + 1 + tied / 2
    order = ranks.argsort(descending=True, stable=True)[:count]
    order = order[ranks[order] > 1]
    found = similarity[order].argsort(dim=1, descending=True, stable=True)[:, :topk]
    return [Failure(*row) for row in zip(
        order.tolist(), ranks[order].tolist(), found.tolist())]


def confusable_captions(similarity: Tensor, video_of_text: Tensor,
                        count: int) -> list[Confusion]:
    """Return pairs of captions that the model takes for each other, nearest first.

    Of each caption whose own video is not the first alone: with that caption of the
    first other video whose similarities to all videos are most like its own.
    """
    check_positive_int('count', count)
    similarity, own = check_similarity(similarity, video_of_text)
    right = similarity.gather(1, own[:, None])[:, 0]
    scores, wrong = similarity.scatter(1, own[:, None], -torch.inf).max(dim=1)
    pairs: dict[tuple[int, int], Confusion] = {}
    for text in (scores >= right).nonzero()[:, 0].tolist():
        video = wrong[text].item()
        texts = (own == video).nonzero()[:, 0]
        if not len(texts):
            continue  # a video without captions
        differences = (similarity[texts] - similarity[text]).square().mean(1).sqrt()
        nearest = differences.argmin()
        other = texts[nearest].item()
        pair = Confusion((text, other), (own[text].item(), video),
                         differences[nearest].item())
        pairs.setdefault((min(text, other), max(text, other)), pair)
    return sorted(pairs.values(), key=lambda pair: pair.difference)[:count]
