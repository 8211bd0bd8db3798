"""Re-rankings, registered by the names that ``rerank`` lists."""
import os
from abc import ABC, abstractmethod

import torch
from mmengine.registry import Registry
from torch import Tensor

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import (
    NotNegative,
    Positive,
    PositiveInt,
    check_types,
)

from .feature_file import check_same_model, load_features
from .functional import check_matrix
from .scores import Scores, raised_together, score_matrix

RERANKINGS = Registry('re-ranking')
"""Classes that ``rerank`` of the metric names."""


class Reranking(ABC):
    """A change of similarities, which ``rerank`` lists by a name of ``RERANKINGS``."""
    needs_cosines = False  # True: only for similarities from -1 to 1

    @abstractmethod
    def __call__(self, scores: Scores) -> Scores:
        """Return new scores, see :meth:`Scores.replace`."""


@RERANKINGS.register_module(name='dual_softmax')
class DualSoftmax(Reranking):
    """Re-rank with :func:`dual_softmax`, which sees all queries of a test at once."""
    needs_cosines = True

    def __init__(self, temperature: NotNegative = 100.0) -> None:
        self.temperature = temperature

    def __call__(self, scores: Scores) -> Scores:
        return scores.replace(**dual_softmax(scores.matrices['t2v'], self.temperature))


@check_types
def dual_softmax(similarity: Tensor,
                 temperature: NotNegative = 100.0) -> dict[str, Tensor]:
    """Multiply similarities by their softmax over the queries.

    As CAMoE's dual softmax loss (arXiv 2109.04290), for cosine similarities S and a
    temperature c::

        t2v[t, v] = S[t, v] * exp(c S[t, v]) / sum over texts u of exp(c S[u, v])
        v2t[t, v] = S[t, v] * exp(c S[t, v]) / sum over videos w of exp(c S[t, w])

    State its use beside any figure: a retriever is asked one query at a time.
    Similarities more than about 700 / c under the best of their softmax weigh zero, and
    tie; negative ones rank higher the *lower* their weight. Both are float64 (texts,
    videos), since small weights would tie in float32; rows of ``t2v`` rank videos,
    columns of ``v2t`` texts.
    """
    check_matrix('similarity', similarity, '(texts, videos)')
    similarity = similarity.double()
    logits = similarity * temperature
    return dict(t2v=similarity * logits.softmax(dim=0),
                v2t=similarity * logits.softmax(dim=1))


@RERANKINGS.register_module(name='qb_norm')
class QBNorm(Reranking):
    """Re-rank with :func:`qb_norm` and a bank, a file of training features."""

    def __init__(self, bank: str | os.PathLike, beta: Positive = 20.0,
                 top: PositiveInt = 1) -> None:
        if not os.path.isfile(bank):
            raise InputError('qb_norm: bank, a file that tools/test.py --dump '
                             f'wrote of the training set, not found: {bank}')
        self.bank = os.fspath(bank)
        self.options = dict(beta=beta, top=top)

    def __call__(self, scores: Scores) -> Scores:
        with raised_together():
            bank = load_features(self.bank)
        features, matrix = scores.features, scores.matrices['t2v']
        check_same_model(features, bank, self.bank)
        texts = score_matrix(scores.scorer, bank.text, features.video)
        videos = score_matrix(scores.scorer, features.text, bank.video)
        return scores.replace(t2v=qb_norm(matrix, texts, **self.options),
                              v2t=qb_norm(matrix.T, videos.T, **self.options).T)


@check_types
def qb_norm(similarity: Tensor, bank: Tensor, beta: Positive = 20.0,
            top: PositiveInt = 1) -> Tensor:
    """Normalise similarities by those of a bank, with the dynamic inverted softmax.

    From "Cross Modal Retrieval with Querybank Normalisation" (arXiv 2112.12777, Sec.
    3). The set A holds the gallery items among the ``top`` best of some bank query. A
    query whose best item, or one of those tied, is in A has its similarities s
    (queries, gallery) normalised by the bank's b (bank queries, gallery); all others
    keep theirs::

        exp(beta s[q, g]) / sum over bank queries i of exp(beta b[i, g])

    It gets the logarithm of that over beta, in float64, which ranks alike, cannot
    overflow, and has the scale of s; rows normalised and not do not compare.
    """
    check_matrix('similarity', similarity, '(queries, gallery)')
    check_matrix('bank', bank, '(bank queries, gallery)')
    gallery = similarity.shape[1]
    if bank.shape[1] != gallery:
        raise InputError(f'bank must have the {gallery} gallery items of '
                         f'similarity, got {bank.shape[1]}')
    if top > gallery:
        raise InputError(f'qb_norm: top must be at most {gallery}, the number '
                         f'of gallery items, got {top}')
    similarity = similarity.double()
    bank = bank.to(similarity)
    threshold = bank.topk(top, dim=1).values[:, -1:]
    active = (bank >= threshold).any(dim=0)
    best = similarity == similarity.amax(dim=1, keepdim=True)
    normalise = (best & active).any(dim=1, keepdim=True)
    hubness = (beta * bank).logsumexp(dim=0) / beta
    return torch.where(normalise, similarity - hubness, similarity)
