"""Similarities corrected for hubs: videos or captions that everything finds.

These correct the similarities of a trained model. State their use beside any
figure: the dual softmax sees all queries of the test set at once, which a
retriever that is asked one query at a time does not.
"""
import math

import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

__all__ = ['dual_softmax', 'qb_norm']


def dual_softmax(similarity: Tensor,
                 temperature: float = 100.0) -> dict[str, Tensor]:
    """Similarity times a softmax over the queries, at inference.

    The revision of the dual softmax loss of CAMoE (arXiv 2109.04290) applied
    to the similarities S of a test set, with temperature c:

    .. code-block:: text

        t2v[t, v] = S[t, v] * exp(c S[t, v]) / sum over texts u of exp(c S[u, v])
        v2t[t, v] = S[t, v] * exp(c S[t, v]) / sum over videos w of exp(c S[t, w])

    For cosine similarities, which c multiplies to logits. A softmax weight
    below 1e-308, of a similarity that lies more than about 700 / c under the
    best of its softmax, is zero, and such candidates tie. As the formula
    stands, negative similarities rank higher the *lower* their weight.

    Args:
        similarity (Tensor): Shape (texts, videos), finite. Not changed.
        temperature (float): c, not negative; with 0 the rankings are those of
            ``similarity``. Defaults to 100.

    Returns:
        dict[str, Tensor]: ``t2v``, whose rows rank the videos, and ``v2t``,
        whose columns rank the texts, float64 (texts, videos) both: the small
        weights would be ties in float32.

    Raises:
        InputError: If the shape, a similarity or the temperature is not as
            said.
    """
    _check_matrix('similarity', similarity, '(texts, videos)')
    if not 0 <= temperature < math.inf:
        raise InputError('temperature must be finite and not negative, got '
                         f'{temperature}')
    similarity = similarity.double()
    logits = similarity * temperature
    return dict(
        t2v=similarity * logits.softmax(dim=0),
        v2t=similarity * logits.softmax(dim=1))


def qb_norm(similarity: Tensor,
            bank: Tensor,
            beta: float = 20.0,
            top: int = 1) -> Tensor:
    """Querybank Normalisation with the dynamic inverted softmax.

    From Bogolin et al., "Cross Modal Retrieval with Querybank Normalisation"
    (arXiv 2112.12777, Sec. 3). The activation set A holds the gallery items
    that are among the ``top`` best of some query of the bank. A query whose
    best gallery item is in A has its similarities s normalised by the bank's
    similarities b, and all others keep theirs:

    .. code-block:: text

        exp(beta s[q, g]) / sum over bank queries i of exp(beta b[i, g])

    What is returned for a normalised query is the logarithm of that, over
    beta, which ranks alike, cannot overflow, and has the scale of s:

    .. code-block:: text

        s[q, g] - log(sum over i of exp(beta b[i, g])) / beta

    Only a query's own row may be ranked: normalised and other rows do not
    compare. Of tied items, all count as the best of their query.

    For text-to-video, the queries are texts and ``bank`` is of other texts,
    such as captions of the training set. For video-to-text, give
    ``similarity.T`` and a bank of videos, and transpose the result.

    Args:
        similarity (Tensor): s, shape (queries, gallery), finite. Not changed.
        bank (Tensor): b, shape (bank queries, gallery), finite. Not changed.
        beta (float): The inverse temperature, positive. Defaults to 20.
        top (int): How many best items of a bank query are in A, from 1 to the
            size of the gallery. Defaults to 1.

    Returns:
        Tensor: Float64 (queries, gallery).

    Raises:
        InputError: If a shape, value or option is not as said.
    """
    _check_bank(similarity, bank, beta, top)
    similarity = similarity.double()
    bank = bank.to(similarity)
    threshold = bank.topk(top, dim=1).values[:, -1:]
    active = (bank >= threshold).any(dim=0)
    best = similarity == similarity.amax(dim=1, keepdim=True)
    normalise = (best & active).any(dim=1, keepdim=True)
    hubness = (beta * bank).logsumexp(dim=0) / beta
    return torch.where(normalise, similarity - hubness, similarity)


def _check_bank(similarity: Tensor, bank: Tensor, beta: float, top: int) -> None:
    _check_matrix('similarity', similarity, '(queries, gallery)')
    _check_matrix('bank', bank, '(bank queries, gallery)')
    gallery = similarity.shape[1]
    if bank.shape[1] != gallery:
        raise InputError(f'bank must have the {gallery} gallery items of '
                         f'similarity, got {bank.shape[1]}')
    if not 0 < beta < math.inf:
        raise InputError(f'beta must be finite and positive, got {beta}')
    if not isinstance(top, int) or not 1 <= top <= gallery:
        raise InputError(f'top must be an integer from 1 to the {gallery} '
                         f'gallery items, got {top!r}')


def _check_matrix(name: str, matrix: Tensor, shape: str) -> None:
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(
            f'{name} must have the shape {shape}, got {tuple(matrix.shape)}')
    bad = (~matrix.isfinite()).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise InputError(
            f'{name} has {len(bad)} values that are not finite, the first '
            f'being {matrix[row, column].item()} in row {row} and column '
            f'{column}')
