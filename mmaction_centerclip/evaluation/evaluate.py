"""All metrics of an evaluation, plain and re-ranked, from its features."""
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from mmaction_centerclip.errors import InputError

from .feature_file import RetrievalFeatures, load_features
from .functional import TOPK, metrics_of_ranks, rank_counts
from .relevance import relevance_metrics, summary_metrics
from .reranking import dual_softmax, qb_norm
from .scoring import (
    Scorer,
    product_scores,
    raised_together,
    score_matrix,
    score_ranks,
)

__all__ = ['EXTRA_METRICS', 'check_rerank', 'evaluate_features', 'format_rows']

EXTRA_METRICS = ('gmean', 'Rsum', 'mAP', 'NDCG')
RERANKINGS = {
    'dual_softmax': ('temperature', ),
    'qb_norm': ('bank', 'beta', 'top'),
}


def evaluate_features(features: RetrievalFeatures,
                      scorer: Scorer | None = None,
                      topk: tuple[int, ...] = TOPK,
                      extra: Sequence[str] = (),
                      rerank: Sequence[dict] = (),
                      matrix: Tensor | None = None,
                      **options: Any) -> dict[str, float]:
    """Metrics of both directions, and those of each re-ranking.

    The whole similarity matrix is formed only where ``extra`` has 'mAP' or
    'NDCG', or ``rerank`` is not empty; see :func:`score_ranks` otherwise.

    Args:
        features (RetrievalFeatures): Of all videos and captions.
        scorer (Callable, optional): Similarity of features. Defaults to
            None: products of vectors.
        topk (tuple[int, ...]): The k of R@k. Defaults to (1, 5, 10).
        extra (Sequence[str]): More metrics, of ``EXTRA_METRICS``.
            Defaults to ().
        rerank (Sequence[dict]): Re-rankings, each with its ``type``,
            ``'dual_softmax'`` or ``'qb_norm'``, and the options of that
            function; ``bank`` is a file of features. Defaults to ().
        matrix (Tensor, optional): Similarities that are known.
            Defaults to None.
        **options: ``max_pairs``, ``device``, ``progress`` of
            :func:`score_ranks`.

    Returns:
        dict[str, float]: As of :func:`retrieval_metrics`; of a re-ranking
        under its name, such as ``qb_norm/t2v/R1``.

    Raises:
        InputError: If an option is out of range, or features need a scorer.
    """
    check_extra(extra, topk)
    check_rerank(rerank)
    scorer = _scorer_of(features, scorer, matrix)
    owner = features.video_of_text
    if matrix is None and (rerank or {'mAP', 'NDCG'} & set(extra)):
        matrix = score_matrix(scorer, features.text, features.video, **options)
    if matrix is None:
        ranks = score_ranks(scorer, features.text, features.video, owner,
                            **options)
    else:
        ranks = rank_counts(matrix, owner)
    metrics = metrics_of_ranks(ranks, topk)
    metrics.update(_extra_metrics(extra, metrics, matrix, matrix, owner))
    for config in rerank:
        better = _rerank(config, features, matrix, scorer, options)
        # One matrix a direction, of which the other half means nothing.
        counts = {d: rank_counts(better[d], owner)[d] for d in better}
        row = metrics_of_ranks(counts, topk)
        row.update(_extra_metrics(extra, row, better['t2v'], better['v2t'],
                                  owner))
        metrics.update({f'{config["type"]}/{k}': v for k, v in row.items()})
    return metrics


def check_extra(extra: Sequence[str], topk: Sequence[int]) -> None:
    """Raise an InputError unless ``extra`` names metrics that can be had."""
    unknown = [name for name in extra if name not in EXTRA_METRICS]
    if isinstance(extra, str) or unknown:
        raise InputError(
            f'extra must be a list of {EXTRA_METRICS}, got {extra!r}')
    if {'gmean', 'Rsum'} & set(extra) and not {1, 5, 10} <= set(topk):
        raise InputError('gmean and Rsum are of R@1, R@5 and R@10, which topk '
                         f'must have, got {tuple(topk)}')


def check_rerank(rerank: Sequence[dict]) -> None:
    """Raise an InputError unless these are re-rankings with their options."""
    for config in rerank:
        name = config.get('type') if isinstance(config, dict) else config
        if name not in RERANKINGS:
            raise InputError('a re-ranking must be a dict with the type '
                             f'{" or ".join(RERANKINGS)}, got {config!r}')
        unknown = config.keys() - {'type', *RERANKINGS[name]}
        if unknown:
            raise InputError(f'{name} takes {RERANKINGS[name]}, got '
                             f'{sorted(unknown)}')
        if name == 'qb_norm' and not config.get('bank'):
            raise InputError('qb_norm needs bank, a file that tools/test.py '
                             '--dump wrote of the training set')
        if name == 'qb_norm' and not os.path.isfile(config['bank']):
            raise InputError(f'feature file not found: {config["bank"]}')
        for option in ('temperature', 'beta', 'top'):
            value = config.get(option, 1)
            if not isinstance(value, (int, float)) or not value > 0:
                raise InputError(
                    f'{name}: {option} must be positive, got {value!r}')
    names = [config['type'] for config in rerank]
    if len(names) > len(set(names)):
        raise InputError(f'each re-ranking may stand once, got {names}')


def _scorer_of(features: RetrievalFeatures, scorer: Scorer | None,
               matrix: Tensor | None) -> Scorer | None:
    if features.separable:
        return product_scores
    if scorer is None and matrix is None:
        raise InputError(
            'these features are compared by a head, which is not at hand; add '
            "dict(type='ScoringHeadHook') to custom_hooks")
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


def _rerank(config: dict, features: RetrievalFeatures, matrix: Tensor,
            scorer: Scorer | None, options: dict) -> dict[str, Tensor]:
    """A similarity (texts, videos) of each direction."""
    config = dict(config)
    if config.pop('type') == 'dual_softmax':
        if matrix.abs().max() > 1 + 1e-3:
            raise InputError(
                'dual_softmax is for cosine similarities, from -1 to 1; this '
                f'head has them from {matrix.min():.3g} to {matrix.max():.3g}')
        return dual_softmax(matrix, **config)
    path = config.pop('bank')
    with raised_together():
        bank = load_features(path)
    for ours, theirs in ((features.video, bank.video),
                         (features.text, bank.text)):
        if _widths(ours) != _widths(theirs):
            raise InputError(f'{path}: the bank has features {_widths(theirs)}'
                             f', the evaluation {_widths(ours)}; both must be '
                             'of the same model')
    if scorer is None:
        raise InputError('qb_norm of a pairwise head needs its model: use it '
                         'in the test_evaluator, not on a file')
    score = partial(score_matrix, scorer, **options)
    texts, videos = score(bank.text, features.video), score(
        features.text, bank.video)
    return dict(
        t2v=qb_norm(matrix, texts, **config),
        v2t=qb_norm(matrix.T, videos.T, **config).T)


def _widths(features: dict[str, Tensor]) -> dict[str, int]:
    return {name: x.shape[-1] for name, x in features.items() if x.ndim == 2
            and x.dtype.is_floating_point}


def format_rows(metrics: dict[str, float]) -> str:
    """A line of plain figures, and one of each re-ranking, as a table."""
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
