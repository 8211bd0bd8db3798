"""Write the failures of an evaluation as a page that needs nothing else."""
from collections.abc import Sequence

import cv2
import numpy as np

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.evaluation import RetrievalFeatures
from mmaction_centerclip.utils.html_page import data_url, render_page

from .failures import Confusion, Failure
from .result_sheets import Hit, VideoFolder, film_strip, result_sheet

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
