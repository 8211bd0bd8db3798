"""All figures of an evaluation, plain and re-ranked, from its features."""
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.utils.option_types import check_types
from mmaction_centerclip.utils.tables import format_table

from .feature_file import RetrievalFeatures
from .functional import TOPK
from .protocols import describe_protocol
from .registry import RERANKINGS, RETRIEVAL_METRICS, Reranking, build_registered
from .scores import Scorer, Scores

__all__ = ['RetrievalEvaluation', 'evaluate_features', 'format_rows']


@check_types
class RetrievalEvaluation:
    """Compute recalls and ranks, further metrics, and those of re-rankings.

    All similarities are held at once only where a metric or a re-ranking
    needs them.

    Args:
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        more_metrics (Sequence[str | dict]): Names in ``RETRIEVAL_METRICS``,
            or dicts with the name as ``type`` and options. Defaults to ().
        rerank (Sequence[str | dict]): The same of ``RERANKINGS``.
    """

    def __init__(self, topk: Sequence[int] = TOPK,
                 more_metrics: Sequence[str | dict] = (),
                 rerank: Sequence[str | dict] = ()) -> None:
        if not topk:
            raise InputError(f'topk must be a list of positive integers, got {topk!r}')
        self.topk = tuple(check_positive_int('topk', k) for k in topk)
        self.metrics = build_registered('more_metrics', RETRIEVAL_METRICS, more_metrics)
        self.rerankings = build_registered('rerank', RERANKINGS, rerank)

    def __call__(self, features: RetrievalFeatures, scorer: Scorer | None = None,
                 report: Callable[[str], object] | None = None) -> dict[str, float]:
        """Evaluate features.

        Args:
            features (RetrievalFeatures): All videos and captions.
            scorer (Scorer, optional): See :class:`Scores`. Defaults to None.
            report (Callable, optional): Called with the protocol and a table
                of the figures, even if a re-ranking fails. Defaults to None.

        Returns:
            dict[str, float]: See :func:`retrieval_metrics`; those of a
            re-ranking under its name, such as ``qb_norm/t2v/R1``.
        """
        rows: dict[str, dict[str, float]] = {}
        try:
            for name, scores in self._rows(Scores(features, scorer)):
                rows[name] = self._figures(scores)
        finally:
            if rows and report is not None:
                protocol = describe_protocol(features.captions_per_video(),
                                             features.paragraph, self.metrics)
                report(f'{protocol}\n{format_rows(rows)}')
        return {name if row == 'plain' else f'{row}/{name}': value
                for row, figures in rows.items() for name, value in figures.items()}

    def metric_names(self) -> set[str]:
        """Return the names of the figures, as a small evaluation gives them."""
        small = RetrievalFeatures({}, {}, torch.arange(2), 'ab', 'ab',
                                  similarity=torch.eye(2))
        return {f'{row}{name}' for name in self._figures(Scores(small))
                for row in ('', *(f'{row}/' for row in self.rerankings))}

    def _rows(self, scores: Scores) -> Iterator[tuple[str, Scores]]:
        """Yield the plain scores, then those of each re-ranking."""
        if self.rerankings or any(metric.needs_matrix
                                  for metric in self.metrics.values()):
            _ = scores.matrices  # All at once, before they are counted in chunks.
        yield 'plain', scores
        for name, reranking in self.rerankings.items():
            _check_cosines(name, reranking, scores)
            yield name, reranking(scores)

    def _figures(self, scores: Scores) -> dict[str, float]:
        figures = scores.figures(self.topk)
        for metric in self.metrics.values():
            figures.update(metric(scores))
        return figures


def _check_cosines(name: str, reranking: Reranking, scores: Scores) -> None:
    matrix = scores.matrices['t2v']
    if reranking.needs_cosines and matrix.abs().max() > 1 + 1e-3:
        raise InputError(
            f'{name} is for cosine similarities, from -1 to 1; this head has them from '
            f'{matrix.min():.3g} to {matrix.max():.3g}')


def evaluate_features(
        features: RetrievalFeatures,
        scorer: Scorer | None = None,
        report: Callable[[str], object] | None = None,
        topk: Sequence[int] = TOPK,
        more_metrics: Sequence[str | dict] = (),
        rerank: Sequence[str | dict] = ()) -> dict[str, float]:
    """Evaluate features, see :class:`RetrievalEvaluation`."""
    evaluation = RetrievalEvaluation(topk, more_metrics, rerank)
    return evaluation(features, scorer, report)


def format_rows(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Format the figures of each row, the plain ones first, as a table."""
    titles = list(next(iter(rows.values())))
    return format_table(
        ['', *(title.replace('/', ' ') for title in titles)],
        [[name, *(f'{figures[title]:.1f}' if title in figures else '-'
                  for title in titles)] for name, figures in rows.items()])
