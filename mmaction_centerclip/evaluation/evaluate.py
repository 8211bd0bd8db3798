"""All figures of an evaluation, plain and re-ranked, from its features."""
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.option_types import check_types
from mmaction_centerclip.tables import format_table

from .feature_file import RetrievalFeatures
from .functional import TOPK, metrics_of_ranks, rank_counts
from .protocols import describe_protocol
from .registry import RERANKINGS, RETRIEVAL_METRICS, Rankings, build_registered
from .scorer import Scorer, choose_scorer, rank_counts_in_chunks, score_matrix

__all__ = ['RetrievalEvaluation', 'evaluate_features', 'format_rows']


@check_types
class RetrievalEvaluation:
    """Compute recalls and ranks, further metrics, and those of re-rankings.

    All similarities are held at once only where a metric or a re-ranking
    needs them; see :func:`rank_counts_in_chunks` otherwise.

    Args:
        topk (Sequence[int]): The k of R@k. Defaults to (1, 5, 10).
        more_metrics (Sequence[str | dict]): Names in ``RETRIEVAL_METRICS``,
            or dicts with the name as ``type`` and options. Defaults to ().
        rerank (Sequence[str | dict]): The same of ``RERANKINGS``.
            Defaults to ().

    Raises:
        InputError: If an option is unknown or out of range.
    """

    def __init__(self, topk: Sequence[int] = TOPK,
                 more_metrics: Sequence[str | dict] = (),
                 rerank: Sequence[str | dict] = ()) -> None:
        if not topk:
            raise InputError(f'topk must be a list of positive integers, got {topk!r}')
        self.topk = tuple(check_positive_int('topk', k) for k in topk)
        self.metrics = build_registered('more_metrics', RETRIEVAL_METRICS, more_metrics)
        self.rerankings = build_registered('rerank', RERANKINGS, rerank)
        for name, metric in self.metrics.items():
            if not set(metric.needs_recalls) <= set(self.topk):
                recalls = ', '.join(f'R@{k}' for k in metric.needs_recalls)
                raise InputError(f'{name} needs {recalls}, which topk must '
                                 f'have, got {self.topk}')

    def __call__(self, features: RetrievalFeatures, scorer: Scorer | None = None,
                 report: Callable[[str], object] | None = None) -> dict[str, float]:
        """Evaluate features.

        Args:
            features (RetrievalFeatures): All videos and captions.
            scorer (Scorer, optional): Compares them where their similarities
                are not known. Defaults to None: :func:`choose_scorer`.
            report (Callable, optional): Called with the protocol and a table
                of the figures, even if a re-ranking fails. Defaults to None.

        Returns:
            dict[str, float]: See :func:`retrieval_metrics`; those of a
            re-ranking under its name, such as ``qb_norm/t2v/R1``.

        Raises:
            InputError: If features need a head that is not at hand, a
                similarity is not finite, or a re-ranking does not fit.
        """
        rows: dict[str, dict[str, float]] = {}
        try:
            for name, figures in self._rows(features,
                                            scorer or choose_scorer(features)):
                rows[name] = figures
        finally:
            if rows and report is not None:
                protocol = describe_protocol(features.captions_per_video(),
                                             features.paragraph, self.metrics)
                report(f'{protocol}\n{format_rows(rows)}')
        return {name if row == 'plain' else f'{row}/{name}': value
                for row, figures in rows.items() for name, value in figures.items()}

    def metric_names(self) -> set[str]:
        """Return the names of the figures, as a small evaluation gives them."""
        own, matrix = torch.arange(2), torch.eye(2)
        names = self._figures(
            rank_counts(matrix, own), dict(t2v=matrix, v2t=matrix), own)
        return {f'{row}{name}' for name in names
                for row in ('', *(f'{row}/' for row in self.rerankings))}

    def _rows(self, features: RetrievalFeatures,
              scorer: Scorer) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the plain figures, then those of each re-ranking."""
        own, matrix = features.video_of_text, features.similarity
        if matrix is None and (self.rerankings or any(
                metric.needs_matrix for metric in self.metrics.values())):
            matrix = score_matrix(scorer, features.text, features.video)
        if matrix is None:
            yield 'plain', self._figures(
                rank_counts_in_chunks(scorer, features.text, features.video,
                                      own), {}, own)
        else:
            yield 'plain', self._figures(
                rank_counts(matrix, own), dict(t2v=matrix, v2t=matrix), own)
        for name, reranking in self.rerankings.items():
            if reranking.needs_cosines and matrix.abs().max() > 1 + 1e-3:
                raise InputError(
                    f'{name} is for cosine similarities, from -1 to 1; this '
                    f'head has them from {matrix.min():.3g} to '
                    f'{matrix.max():.3g}')
            matrices = reranking(features, matrix, scorer)
            # One matrix a direction, whose other direction means nothing.
            counts = {d: rank_counts(x, own)[d] for d, x in matrices.items()}
            yield name, self._figures(counts, matrices, own)

    def _figures(self, counts: dict[str, tuple[Tensor, Tensor]],
                 matrices: dict[str, Tensor],
                 video_of_text: Tensor) -> dict[str, float]:
        figures = metrics_of_ranks(counts, self.topk)
        rankings = Rankings(dict(figures), matrices, video_of_text)
        for metric in self.metrics.values():
            figures.update(metric(rankings))
        return figures


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
