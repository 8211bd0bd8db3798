"""Clusterings as their papers tell them, one problem and one step at a time."""
import numpy as np


def distance_matrix(tokens, distance='euclidean'):
    tokens = np.asarray(tokens, dtype=np.float64)
    count = len(tokens)
    result = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            x, y = tokens[i], tokens[j]
            if distance == 'cosine':
                norms = [np.linalg.norm(t) + 1e-6 for t in (x, y)]
                result[i, j] = max(1 - x @ y / (norms[0] * norms[1]), 0) * (i != j)
            else:
                result[i, j] = np.linalg.norm(x - y)
    return result


def density_peaks(tokens, num_centers, neighbors, scale, valid=None):
    """Sorted centers and assignment of DPC-KNN, with densities themselves."""
    count = len(tokens)
    valid = [True] * count if valid is None else list(valid)
    distances = distance_matrix(tokens) / scale
    density, separation = [], []
    for i in range(count):
        others = sorted(distances[i, j] for j in range(count) if j != i and valid[j])
        nearest = np.array(others[:neighbors])
        density.append(np.exp(-(nearest**2).mean()) if len(nearest) else 1.)
    for i in range(count):
        denser = [j for j in range(count) if valid[j] and (
            density[j] > density[i] or density[j] == density[i] and j < i)]
        if denser:
            separation.append(min(distances[i, j] for j in denser))
        else:
            separation.append(max(distances[i, j] for j in range(count) if valid[j]))
    scores = [d * s for d, s in zip(density, separation)]
    order = sorted(range(count), key=lambda i: (not valid[i], -scores[i]))
    centers = sorted(order[:num_centers])
    return centers, nearest_of(distances, centers)


def nearest_of(distances, centers):
    assignment = [int(np.argmin([distances[i, c] for c in centers]))
                  for i in range(len(distances))]
    for k, center in enumerate(centers):
        assignment[center] = k
    return assignment


def agglomerative(tokens, num_centers, linkage, distance):
    """Sorted medoids and assignment of bottom-up clustering."""
    distances = distance_matrix(tokens, distance)
    tokens = np.asarray(tokens, dtype=np.float64)
    clusters = [[i] for i in range(len(tokens))]

    def apart(a, b):
        if linkage == 'ward':
            def spread(members):
                center = tokens[members].mean(axis=0)
                return ((tokens[members] - center)**2).sum()
            return spread(a + b) - spread(a) - spread(b)
        pairs = [distances[i, j] for i in a for j in b]
        return dict(single=min, complete=max, average=np.mean)[linkage](pairs)

    while len(clusters) > num_centers:
        pairs = [(apart(a, b), i, j) for i, a in enumerate(clusters)
                 for j, b in enumerate(clusters) if i < j]
        _, i, j = min(pairs)
        clusters[i] += clusters.pop(j)
    medoids = {}
    for members in clusters:
        sums = [sum(distances[i, j] for j in members) for i in sorted(members)]
        medoids[sorted(members)[int(np.argmin(sums))]] = members
    centers = sorted(medoids)
    return centers, [next(k for k, c in enumerate(centers) if i in medoids[c])
                     for i in range(len(tokens))]
