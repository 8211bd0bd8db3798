"""All metrics of an evaluation, plain and re-ranked, from its features."""
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from mmaction_centerclip.errors import InputError

from .feature_file import RetrievalFeatures
from .functional import TOPK, metrics_of_ranks, rank_counts
from .relevance import relevance_metrics, summary_metrics
from .rerank_options import RERANKINGS, check_rerank, reranked
from .scoring import Scorer, product_scores, score_matrix, score_ranks

__all__ = [
    'EXTRA_METRICS', 'check_extra', 'evaluate_features', 'evaluation_rows',
    'format_rows'
]

EXTRA_METRICS = ('gmean', 'Rsum', 'mAP', 'NDCG')


def evaluate_features(features: RetrievalFeatures,
                      scorer: Scorer | None = None,
                      report: Callable[[str], object] | None = None,
                      **options: Any) -> dict[str, float]:
    """Metrics of both directions, and those of each re-ranking.

    Args:
        features (RetrievalFeatures): Of all videos and captions.
        scorer (Callable, optional): Similarity of features. Defaults to
            None: products of vectors, or the head that the features know.
        report (Callable, optional): Takes the table of :func:`format_rows`,
            that of the plain figures too where a re-ranking fails.
            Defaults to None.
        **options: Those of :func:`evaluation_rows`.

    Returns:
        dict[str, float]: As of :func:`retrieval_metrics`; of a re-ranking
        under its name, such as ``qb_norm/t2v/R1``.

    Raises:
        InputError: As :func:`evaluation_rows`.
    """
    metrics: dict[str, float] = {}
    try:
        for row, found in evaluation_rows(features, scorer, **options):
            prefix = '' if row == 'plain' else f'{row}/'
            metrics.update({prefix + name: x for name, x in found.items()})
    finally:
        if metrics and report is not None:
            report(format_rows(metrics))
    return metrics


def evaluation_rows(features: RetrievalFeatures,
                    scorer: Scorer | None = None,
                    topk: tuple[int, ...] = TOPK,
                    extra: Sequence[str] = (),
                    rerank: Sequence[str | dict] = (),
                    matrix: Tensor | None = None,
                    **options: Any) -> Iterator[tuple[str, dict[str, float]]]:
    """Compute the plain metrics, then those of one re-ranking after another.

    The whole similarity matrix is formed only where ``extra`` has 'mAP' or
    'NDCG', or ``rerank`` is not empty; see :func:`score_ranks` otherwise.

    Args:
        features (RetrievalFeatures): Of all videos and captions.
        scorer (Callable, optional): Similarity of features. Defaults to
            None: products of vectors, or the head that the features know.
        topk (tuple[int, ...]): The k of R@k. Defaults to (1, 5, 10).
        extra (Sequence[str]): More metrics, of ``EXTRA_METRICS``.
            Defaults to ().
        rerank (Sequence[str | dict]): Re-rankings, each with its ``type``,
            ``'dual_softmax'`` or ``'qb_norm'``, and the options of that
            function; ``bank`` is a file of features. Defaults to ().
        matrix (Tensor, optional): Similarities (texts, videos) that are
            known. Defaults to None.
        **options: ``max_pairs``, ``device``, ``dtype`` and ``progress`` of
            :func:`score_ranks`.

    Yields:
        tuple[str, dict[str, float]]: ``'plain'`` or the type of a re-ranking,
        and its metrics.

    Raises:
        InputError: If an option is out of range, or features need a head.
    """
    check_extra(extra, topk)
    rerank = check_rerank(rerank)
    owner = features.video_of_text
    if matrix is None:
        scorer = _scorer_of(features, scorer, options)
    if matrix is None and (rerank or {'mAP', 'NDCG'} & set(extra)):
        matrix = score_matrix(scorer, features.text, features.video, **options)
    if matrix is None:
        ranks = score_ranks(scorer, features.text, features.video, owner,
                            **options)
    else:
        ranks = rank_counts(matrix, owner)
    metrics = metrics_of_ranks(ranks, topk)
    metrics.update(_extra_metrics(extra, metrics, matrix, matrix, owner))
    yield 'plain', metrics
    for config in rerank:
        if config['type'] == 'qb_norm':
            scorer = _scorer_of(features, scorer, options)
        better = reranked(config, features, matrix, scorer, options)
        # One matrix a direction, of which the other half means nothing.
        counts = {d: rank_counts(better[d], owner)[d] for d in better}
        row = metrics_of_ranks(counts, topk)
        row.update(_extra_metrics(extra, row, better['t2v'], better['v2t'],
                                  owner))
        yield config['type'], row


def check_extra(extra: Sequence[str], topk: Sequence[int]) -> None:
    """Check the names of extra metrics.

    Args:
        extra (Sequence[str]): Of ``EXTRA_METRICS``.
        topk (Sequence[int]): The k of R@k, of which some metrics are made.

    Raises:
        InputError: If a name is unknown, or its recalls are not computed.
    """
    unknown = [name for name in extra if name not in EXTRA_METRICS]
    if isinstance(extra, str) or unknown:
        raise InputError(
            f'extra must be a list of {EXTRA_METRICS}, got {extra!r}')
    if {'gmean', 'Rsum'} & set(extra) and not {1, 5, 10} <= set(topk):
        raise InputError('gmean and Rsum are of R@1, R@5 and R@10, which topk '
                         f'must have, got {tuple(topk)}')


def _scorer_of(features: RetrievalFeatures, scorer: Scorer | None,
               options: dict) -> Scorer:
    if features.separable:
        return product_scores
    if scorer is None:
        head = features.build_head()
        return head.to(options.get('device'), options.get('dtype')).similarity
    return scorer


def _extra_metrics(extra: Sequence[str], recalls: dict, t2v: Tensor | None,
                   v2t: Tensor | None, owner: Tensor) -> dict[str, float]:
    found = {}
    if {'gmean', 'Rsum'} & set(extra):
        found.update(summary_metrics(recalls))
    if {'mAP', 'NDCG'} & set(extra):
        for direction, matrix in (('t2v', t2v), ('v2t', v2t)):
            found.update(relevance_metrics(matrix, owner, (direction, )))
    return {k: v for k, v in found.items() if k.split('/')[-1] in extra}


def format_rows(metrics: dict[str, float]) -> str:
    """A line of plain figures, and one of each re-ranking, as a table.

    Args:
        metrics (dict[str, float]): See :func:`evaluate_features`.
    """
    rows: dict[str, dict[str, float]] = {'plain': {}}
    for name, value in metrics.items():
        row, _, title = name.partition('/')
        if row not in RERANKINGS:
            row, title = 'plain', name
        rows.setdefault(row, {})[title.replace('/', ' ')] = value
    titles = list(rows['plain'])
    lines = [['', *titles]]
    for name, values in rows.items():
        lines.append([name, *(
            f'{values[t]:.1f}' if t in values else '-' for t in titles)])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(
        cell.rjust(width) for cell, width in zip(line, widths))
                     for line in lines)
