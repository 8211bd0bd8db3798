"""Find the failures of an evaluation, and write a page that needs nothing else."""
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import check_positive_int
from mmaction_centerclip.evaluation import RetrievalFeatures
from mmaction_centerclip.evaluation.functional import better_and_tied, check_similarity
from mmaction_centerclip.utils.html_page import data_url, render_page

from .result_sheets import Hit, VideoFolder, film_strip, result_sheet


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


BODY = '''
{% macro sheet(hits) %}
<img alt="
{%- for hit in hits %}{{ '; ' if not loop.first }}{{ hit.rank }}. {{ hit.name }}
{{- ' %.3f' % hit.score }}{{ ' right' if hit.is_right }}
{{- ' (%s)' % hit.reason if hit.strip is none }}{% endfor %}" src="{{ picture(hits) }}">
{%- endmacro %}
<h2>Worst queries</h2>
{% for caption, rank, hits in failures %}
<section class="panel"><h3>{{ caption }}</h3>
<p class="faint">Rank {{ rank }} of {{ videos }}</p>
{{ sheet(hits) }}</section>
{% else %}
<p>Every caption finds its own video first.</p>
{% endfor %}
<h2>Confusable captions</h2>
{% for first, second, difference, hits in confusions %}
<section class="panel"><h3>A. {{ first }}<br>B. {{ second }}</h3>
<p class="faint">Difference of their similarities: {{ '%.3f' % difference }}</p>
{{ sheet(hits) }}</section>
{% endfor %}
'''


def result_page(title: str, summary: str, features: RetrievalFeatures,
                failures: Sequence[Failure], confusions: Sequence[Confusion],
                folder: VideoFolder, frames: int = 5) -> str:
    """Write a page of HTML with film strips, without outside resources.

    The ``summary`` has figures of the evaluation, and ``features`` the ``similarity``
    of all pairs. A film strip has so many ``frames``; where a video cannot be read, the
    page has the reason.
    """
    strips: dict[int, tuple[np.ndarray | None, str]] = {}
    own, captions = features.video_of_text.tolist(), features.captions

    def hit(rank: str, text: int, video: int) -> Hit:
        name = features.filenames[video]
        if video not in strips:
            try:
                strips[video] = film_strip(folder.path(name), frames), ''
            except DecodingError as error:
                strips[video] = None, error.reason
        score = features.similarity[text, video].item()
        return Hit(rank, folder.relative(name), score, video == own[text],
                   *strips[video])

    def hits_of(failure: Failure) -> list[Hit]:
        """Return what a caption found, and its own video if that is not there."""
        text, rank = failure.text, f'{failure.rank:g}'
        hits = [hit(str(i), text, video) for i, video in enumerate(failure.videos, 1)]
        return hits + [hit(rank, text, own[text])] * (own[text] not in failure.videos)

    return render_page(
        BODY, title, summary, picture=_picture, videos=len(features.filenames),
        failures=[(captions[failure.text], f'{failure.rank:g}', hits_of(failure))
                  for failure in failures],
        confusions=[(*(captions[text] for text in pair.texts), pair.difference,
                     [hit(side, pair.texts[0], video)
                      for side, video in zip('AB', pair.videos)])
                    for pair in confusions])


def _picture(hits: Sequence[Hit]) -> str:
    """Draw a result sheet as a URL."""
    _, content = cv2.imencode(
        '.jpg', result_sheet(hits)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data_url(content.tobytes(), 'jpeg')
