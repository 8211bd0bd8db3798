"""The dual softmax at inference."""
from torch import Tensor

from mmaction_centerclip.errors import check_number

from ..feature_file import RetrievalFeatures
from ..functional import check_matrix
from ..registry import RERANKINGS, Reranking
from ..scorer import Scorer


@RERANKINGS.register_module(name='dual_softmax')
class DualSoftmax(Reranking):
    """Re-rank with :func:`dual_softmax`.

    State its use beside any figure: it sees all queries of the test set at
    once, which a retriever that is asked one query at a time does not.

    Args:
        temperature (float): See there. Defaults to 100.

    Raises:
        InputError: If ``temperature`` is negative or not finite.
    """
    needs_cosines = True

    def __init__(self, temperature: float = 100.0) -> None:
        self.temperature = _check_temperature(temperature)

    def __call__(self, features: RetrievalFeatures, matrix: Tensor,
                 scorer: Scorer) -> dict[str, Tensor]:
        """Return the similarities of both directions, float64."""
        return dual_softmax(matrix, self.temperature)


def dual_softmax(similarity: Tensor, temperature: float = 100.0) -> dict[str, Tensor]:
    """Multiply similarities by their softmax over the queries.

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
        InputError: If the shape, a similarity or the temperature is not as said.
    """
    check_matrix('similarity', similarity, '(texts, videos)')
    _check_temperature(temperature)
    similarity = similarity.double()
    logits = similarity * temperature
    return dict(t2v=similarity * logits.softmax(dim=0),
                v2t=similarity * logits.softmax(dim=1))


def _check_temperature(value: object) -> float:
    return check_number('dual_softmax: temperature', value, lambda x: x >= 0,
                        'at least 0')
