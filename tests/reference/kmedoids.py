"""k-medoids++ as the paper tells it, one problem and one step at a time.

Slow and obvious: the oracle of the fast version. Distances in float64,
symmetric, zero to itself; every tie goes to the lowest index.
"""
import numpy as np


def pairwise(tokens, distance='euclidean', p=2.0):
    tokens = np.asarray(tokens, dtype=np.float64)
    count = len(tokens)
    result = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            if distance == 'cosine':
                x, y = (t / (np.linalg.norm(t) + 1e-6)
                        for t in (tokens[i], tokens[j]))
                value = max(1 - x @ y, 0)
            else:
                value = (np.abs(tokens[i] - tokens[j])**p).sum()**(1 / p)
            result[i, j] = result[j, i] = value
    return result


def kkz(distances, num_centers, first):
    picks = [first]
    while len(picks) < num_centers:
        rest = [i for i in range(len(distances)) if i not in picks]
        nearest = [min(distances[i][m] for m in picks) for i in rest]
        picks.append(rest[int(np.argmax(nearest))])
    return picks


def assign(distances, medoids):
    assignment = [
        int(np.argmin([distances[i][m] for m in medoids]))
        for i in range(len(distances))
    ]
    for k, medoid in enumerate(medoids):
        assignment[medoid] = k
    return assignment


def update(distances, medoids, assignment):
    updated = []
    for k in range(len(medoids)):
        members = [i for i, a in enumerate(assignment) if a == k]
        sums = [sum(distances[i][j] for j in members) for i in members]
        updated.append(members[int(np.argmin(sums))])
    return updated


def kmedoids(tokens, num_centers, distance='euclidean', p=2.0,
             pre_norm=False, max_iters=100, first=None):
    """Sorted medoids, the assignment to them, and the KKZ picks."""
    tokens = np.asarray(tokens, dtype=np.float64)
    norms = np.linalg.norm(tokens, axis=1, keepdims=True)
    if pre_norm:
        tokens = tokens / (norms + 1e-6)
        norms = np.linalg.norm(tokens, axis=1, keepdims=True)
    distances = pairwise(tokens, distance, p)
    first = int(np.argmax(norms)) if first is None else first
    picks = medoids = kkz(distances, num_centers, first)
    for _ in range(max_iters):
        updated = update(distances, medoids, assign(distances, medoids))
        if updated == medoids:
            break
        medoids = updated
    medoids = sorted(medoids)
    return medoids, assign(distances, medoids), picks
