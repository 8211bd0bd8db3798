"""Write operators of torch in ONNX: the decisions of necks, and what torch lacks.

Of equal values ONNX's operators take the first, as the originals promise.
"""
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import FLOAT, INT64, script
from onnxscript import opset18 as op

from mmaction_centerclip.ops.selection import seeded_scores

_FLOAT, _DOUBLE = int(ir.DataType.FLOAT), int(ir.DataType.DOUBLE)
_LARGEST = float(np.finfo(np.float32).max)
_Any, _AnyInt = FLOAT[...], INT64[...]
_EPS = 1e-6  # of unit_normalize()


def translations() -> dict[Callable, Callable]:
    """Return how ``torch.onnx.export`` is to write each operator."""
    own, aten = torch.ops.mmaction_centerclip, torch.ops.aten
    return {own.kmedoids.default: _kmedoids,
            own.seeded_scores.default: _seeded_scores,
            aten.sort.stable: _sort,
            aten.cummax.default: _cummax}


def _kmedoids(tokens, num_centers: int, first=None, valid=None,
              distance: str = 'euclidean', p: float = 2., pre_norm: bool = False,
              max_iters: int = 100, tol: float = 1e-6, dtype: int = _FLOAT,
              backend: str = 'auto'):
    """Cluster as :func:`mmaction_centerclip.ops.kmedoids` does, as canonically.

    The picks of KKZ are unrolled, the updates are a loop that ends where no medoid
    moves. In ``near`` a token's distance to itself is minus infinity: a medoid is in
    its own cluster, and is picked once.
    """
    norms = op.Cast(tokens, to=_DOUBLE)
    norms = op.Sqrt(op.ReduceSum(op.Mul(norms, norms), [2], keepdims=0))
    if valid is not None:
        norms = op.Where(valid, norms, _constant(-1.))
    first = op.ArgMax(norms, axis=1, keepdims=0)
    count, width = tokens.shape[1:]
    tokens = op.Cast(tokens, to=_FLOAT)
    if pre_norm:
        tokens = _unit_normalize(tokens)
    count, itself, centers = _numbers(tokens, count, num_centers)
    distances = op.Where(itself, 0., _distances(tokens, distance, itself))
    # Tokens that overflowed upstream must not break the invariants.
    distances = op.Where(op.IsNaN(distances), 0., op.Min(distances, _LARGEST))
    near = op.Where(itself, _constant(np.float32(-np.inf)), distances)
    near = op.Reshape(near, op.Concat(
        _constant([-1]), op.Unsqueeze(count, _constant([0])), axis=0))
    # Rows by their number in all problems.
    problems = op.Squeeze(op.Shape(tokens, start=0, end=1))
    offsets = op.Mul(op.Range(_constant(0), problems, _constant(1)), count)
    nearest = row = op.Gather(near, op.Add(first, offsets))
    costs, penalty = distances, _constant(np.zeros((1, 1), np.float32))
    if valid is not None:
        nearest = op.Min(op.Where(valid, row, -1.), row)
        costs = op.Where(op.Unsqueeze(valid, _constant([1])), distances, 0.)
        penalty = op.Where(valid, 0., _constant(np.float32(_LARGEST)))
    picks = [first]
    for _ in range(1, num_centers):
        picks.append(op.ArgMax(nearest, axis=1, keepdims=0))
        nearest = op.Min(nearest, op.Gather(near, op.Add(picks[-1], offsets)))
    medoids = op.Concat(*(op.Unsqueeze(pick, _constant([1])) for pick in picks), axis=1)
    offsets = op.Unsqueeze(offsets, _constant([1]))
    if max_iters:
        rows = op.Reshape(tokens, _constant([-1, width]))
        medoids = _settle(
            costs, near, rows, medoids, penalty, offsets, centers,
            _constant(np.float32(np.inf)), max_iters=max_iters, tol=tol)
    medoids, _ = _sorted(medoids, num_centers, axis=1)
    return medoids, op.ArgMin(op.Gather(near, op.Add(medoids, offsets)), axis=1,
                              keepdims=0)


def _numbers(tokens, count, num_centers: int):
    """Return how many tokens there are, which of two are one, and the first numbers.

    Scalar, (1, N, N) and (1, K, 1); of any number N of tokens where frames are dynamic.
    """
    if isinstance(count, int):
        return (_constant(count), _constant(np.eye(count, dtype=bool)[None]),
                _constant(np.arange(num_centers)[None, :, None]))
    count = op.Squeeze(op.Shape(tokens, start=1, end=2))
    each = op.Range(_constant(0), count, _constant(1))
    itself = op.Equal(op.Unsqueeze(each, _constant([0, 1])),
                      op.Unsqueeze(each, _constant([0, 2])))
    # Which fails of fewer tokens than centers, as it must.
    first = op.Slice(each, _constant([0]), _constant([num_centers]))
    return count, itself, op.Reshape(first, _constant([1, num_centers, 1]))


@script()
def _settle(costs: _Any, near: _Any, tokens: _Any, medoids: _AnyInt, penalty: _Any,
            offsets: _AnyInt, centers: _AnyInt, infinity: _Any, max_iters: int,
            tol: float) -> _AnyInt:
    """Move medoids until none moves, as :func:`alternate` in ops does."""
    # True where a problem may still move; none of the first one's medoids is -1.
    active = op.GreaterOrEqual(medoids, op.Constant(value_int=0))
    for _i in range(max_iters):
        own = op.ArgMin(op.Gather(near, medoids + offsets), axis=1, keepdims=0)
        same = op.Equal(op.Unsqueeze(own, [2]), op.Unsqueeze(own, [1]))
        cost = op.ReduceSum(op.Where(same, costs, 0.), [2], keepdims=0)
        cost = op.Unsqueeze(op.Max(cost, penalty), [1])
        members = op.Equal(op.Unsqueeze(own, [1]), centers)
        best = op.ArgMin(op.Where(members, cost, infinity), axis=2, keepdims=0)
        updated = op.Where(active, best, medoids)
        moved = op.Gather(tokens, updated + offsets) - op.Gather(
            tokens, medoids + offsets)
        shift = op.ReduceSum(op.ReduceL2(moved, [2], keepdims=0), [1], keepdims=1)
        active = op.And(active, op.GreaterOrEqual(shift, op.Constant(value_float=tol)))
        stop = op.Equal(op.ReduceMax(op.Abs(updated - medoids), keepdims=0), 0)
        medoids = op.Identity(updated)
        if stop:
            break
    return medoids


def _distances(tokens, distance: str, itself):
    """Write :func:`mmaction_centerclip.ops.pairwise_distances`, but for the diagonal.

    It is symmetric to the last bit, as there.
    """
    if distance == 'cosine':
        return op.Max(op.Sub(1., _symmetric_gram(_unit_normalize(tokens))), 0.)
    tokens = op.Sub(tokens, op.ReduceMean(tokens, _constant([1])))
    gram = _symmetric_gram(tokens)
    squared = op.ReduceSum(op.Where(itself, gram, 0.), _constant([2]))
    squared = op.Add(squared, op.Transpose(squared, perm=[0, 2, 1]))
    return op.Sqrt(op.Max(op.Sub(squared, op.Mul(gram, 2.)), 0.))


def _symmetric_gram(tokens):
    gram = op.MatMul(tokens, op.Transpose(tokens, perm=[0, 2, 1]))
    return op.Mul(op.Add(gram, op.Transpose(gram, perm=[0, 2, 1])), 0.5)


def _unit_normalize(tokens):
    return op.Div(tokens, op.Add(op.ReduceL2(tokens, _constant([2])), _EPS))


def _seeded_scores(tokens, num_segments: int, seed: int):
    """Write the random scores of evaluation as the constants that they are."""
    return _constant(seeded_scores(
        torch.empty(1, *tokens.shape[1:]), num_segments, seed).numpy())


def _sort(self, stable: bool | None = None, dim: int = -1, descending: bool = False):
    """Sort stably: of equal values TopK has the first one first, either way."""
    if self.dtype.itemsize > 1:
        return _sorted(self, self.shape[dim], dim, descending)
    # Which takes no small integers.
    values, indices = _sorted(op.Cast(self, to=int(ir.DataType.INT32)), self.shape[dim],
                              dim, descending)
    return op.CastLike(values, self), indices


def _sorted(values, count: int, axis: int = -1, descending: bool = False):
    return op.TopK(values, _constant([count]), axis=axis, largest=int(descending))


def _constant(value):
    """Return a constant; integers are int64."""
    return op.Constant(value=ir.tensor(np.asarray(value)))


def _cummax(self, dim: int):
    """Write the largest values so far, of a few frames (B, F, N), by comparing all.

    Nobody takes the indices.
    """
    count = self.shape[1]
    before = _constant(np.tri(count, dtype=bool)[None, :, :, None])
    lowest = _constant(np.int64(np.iinfo(np.int64).min))
    values = op.Where(before, op.Unsqueeze(self, _constant([1])), lowest)
    return op.ReduceMax(values, _constant([2]), keepdims=0), op.Identity(self)
