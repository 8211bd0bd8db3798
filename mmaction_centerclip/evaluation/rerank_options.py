"""Re-rankings as options: their checks, and their similarities."""
import math
import os
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

from .feature_file import RetrievalFeatures, load_features
from .reranking import dual_softmax, qb_norm
from .scoring import Scorer, raised_together, score_matrix

__all__ = ['RERANKINGS', 'check_rerank', 'reranked']

RERANKINGS = {
    'dual_softmax': ('temperature', ),
    'qb_norm': ('bank', 'beta', 'top'),
}


def check_rerank(rerank: Sequence[str | dict]) -> list[dict]:
    """Check re-rankings, as far as can be without similarities.

    Args:
        rerank (Sequence[str | dict]): Each a dict with its ``type`` and
            options, or the type alone.

    Returns:
        list[dict]: The same, all of them dicts.

    Raises:
        InputError: If one is unknown or given twice, or an option is unknown
            or out of range.
    """
    if not isinstance(rerank, (list, tuple)):
        raise InputError(f'rerank must be a list, got {rerank!r}')
    configs = []
    for given in rerank:
        config = dict(type=given) if isinstance(given, str) else given
        name = config.get('type') if isinstance(config, dict) else None
        if name not in RERANKINGS:
            raise InputError('a re-ranking must be a dict with the type '
                             f'{" or ".join(RERANKINGS)}, got {given!r}')
        configs.append(config)
        unknown = config.keys() - {'type', *RERANKINGS[name]}
        if unknown:
            raise InputError(f'{name} takes {RERANKINGS[name]}, got '
                             f'{sorted(unknown)}')
        _check_values(name, config)
    names = [config['type'] for config in configs]
    if len(names) > len(set(names)):
        raise InputError(f'each re-ranking may stand once, got {names}')
    return configs


def _check_values(name: str, config: dict) -> None:
    if name == 'qb_norm' and not config.get('bank'):
        raise InputError('qb_norm needs bank, a file that tools/test.py --dump '
                         'wrote of the training set')
    if name == 'qb_norm' and not os.path.isfile(config['bank']):
        raise InputError(f'feature file not found: {config["bank"]}')
    temperature = config.get('temperature', 1)
    if not _is_number(temperature) or temperature < 0:
        raise InputError(f'{name}: temperature must be finite and not '
                         f'negative, got {temperature!r}')
    beta = config.get('beta', 1)
    if not _is_number(beta) or beta <= 0:
        raise InputError(
            f'{name}: beta must be finite and positive, got {beta!r}')
    top = config.get('top', 1)
    if not isinstance(top, int) or top < 1:
        raise InputError(
            f'{name}: top must be a positive integer, got {top!r}')


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def reranked(config: dict, features: RetrievalFeatures, matrix: Tensor,
             scorer: Scorer | None, options: dict) -> dict[str, Tensor]:
    """The similarities of a re-ranking.

    Args:
        config (dict): One of :func:`check_rerank`.
        features (RetrievalFeatures): Of the test set.
        matrix (Tensor): Its similarities, shape (texts, videos).
        scorer (Callable, optional): See ``Scorer``; needed for ``qb_norm``.
        options (dict): Those of :func:`score_matrix`.

    Returns:
        dict[str, Tensor]: Float64 (texts, videos) of each direction, of which
        only that direction's ranking means something.

    Raises:
        InputError: If the similarities are no cosines (dual softmax), or the
            bank is of another model (QB-Norm).
    """
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
    _check_same_model(features, bank, path)
    score = partial(score_matrix, scorer, **options)
    texts, videos = score(bank.text, features.video), score(
        features.text, bank.video)
    return dict(
        t2v=qb_norm(matrix, texts, **config),
        v2t=qb_norm(matrix.T, videos.T, **config).T)


def _check_same_model(features: RetrievalFeatures, bank: RetrievalFeatures,
                      path: str) -> None:
    ours, theirs = _widths(features), _widths(bank)
    if ours != theirs:
        raise InputError(f'{path}: the bank has features {theirs}, the '
                         f'evaluation {ours}; both must be of the same model')
    if features.head is None or bank.head is None:
        return
    states = [each.head['state_dict'] for each in (features, bank)]
    if features.head['config'] != bank.head['config'] or any(
            not torch.equal(value, states[1][name])
            for name, value in states[0].items()):
        raise InputError(f"{path}: the bank's head has other weights or options "
                         "than the evaluation's; both must be of the same model")


def _widths(features: RetrievalFeatures) -> dict[str, int]:
    """Width of each kind of token or vector, whatever the number of tokens."""
    dims = 2 if features.separable else 3
    return {
        name: x.shape[-1]
        for part in (features.video, features.text) for name, x in part.items()
        if x.ndim == dims and x.is_floating_point()
    }
