"""Find the best vectors by a small copy of them, of 4 bits for two dimensions."""
import hashlib
import importlib.util
import logging
import os
from collections.abc import Iterable

import numpy as np
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write

BITS = 4
TRAINED_ON = 16_384  # vectors
AT_A_TIME = 65_536  # vectors, to be float32 for a moment


def can_compress(vectors: np.ndarray) -> bool:
    """Return True if faiss is there, and E is even."""
    return importlib.util.find_spec('faiss') is not None and not vectors.shape[1] % 2


class CompressedVectors:
    """Vectors as codes of a product quantizer, all of which a search reads.

    A code of :data:`BITS` bits stands for two dimensions (Jégou et al., "Product
    Quantization for Nearest Neighbor Search", PAMI 2011); faiss compares codes by
    tables in registers (André et al., "Cache locality is not enough", VLDB 2015).
    Vectors are turned at random first: CLIP's dimensions do not vary alike, which would
    leave the tables coarse. ``rotation`` is orthogonal, float32 (E, E), ``centroids``
    are float32 (E / 2, 16, 2), and ``codes`` are two a byte, uint8 (N, bytes).
    """

    def __init__(self, rotation: np.ndarray, centroids: np.ndarray,
                 codes: np.ndarray) -> None:
        import faiss
        self.parts = dict(rotation=rotation, centroids=centroids, codes=codes)
        plain = _quantizer(2 * len(centroids))
        faiss.copy_array_to_vector(centroids.ravel(), plain.pq.centroids)
        plain.is_trained = True
        plain.add_sa_codes(codes)
        self._index = faiss.IndexPQFastScan(plain)

    @classmethod
    def build(cls, vectors: np.ndarray) -> 'CompressedVectors':
        """Compress vectors, float16 (N, E)."""
        import faiss
        count, dims = vectors.shape
        rng, plain = np.random.default_rng(0), _quantizer(dims)
        rotation = np.linalg.qr(rng.standard_normal((dims, dims)))[0].astype(np.float32)

        def turned(some: np.ndarray) -> np.ndarray:
            return some.astype(np.float32) @ rotation

        # Which warns where a small index has few vectors for each centroid.
        plain.pq.cp.min_points_per_centroid = 1
        drawn = rng.choice(count, min(count, TRAINED_ON), replace=False)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # Many small problems, which threads slow down.
        try:
            plain.train(turned(vectors[np.sort(drawn)]))
        finally:
            faiss.omp_set_num_threads(threads)
        codes = np.concatenate([
            plain.sa_encode(turned(vectors[first:first + AT_A_TIME]))
            for first in range(0, count, AT_A_TIME)])
        centroids = faiss.vector_to_array(plain.pq.centroids)
        return cls(rotation, centroids.reshape(dims // 2, 2**BITS, 2), codes)

    def best(self, query: np.ndarray, count: int) -> np.ndarray:
        """Return about the best vectors of a query, float32 (E, ): int64 (count, )."""
        turned = query @ self.parts['rotation']
        _, rows = self._index.search(turned[None], min(count, self._index.ntotal))
        return rows[0][rows[0] >= 0]


def _quantizer(dims: int):
    import faiss
    return faiss.IndexPQ(dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT)


def open_compressed(path: str | os.PathLike, vectors: np.ndarray) -> CompressedVectors:
    """Read the compressed copy of vectors (N, E) beside an index, or make it.

    The ``.npz`` is made anew where it is missing, damaged, or of other vectors.
    """
    digest = hashlib.sha256(vectors.data)
    found = _read(path, digest, vectors.shape)
    if found is not None:
        return found
    print_log(f'Compressing {len(vectors)} segments for {path}', 'current')
    made = CompressedVectors.build(vectors)
    try:
        with atomic_write(os.fspath(path)) as partial, open(partial, 'wb') as file:
            np.savez(file, hash=_hash(digest, made.parts.values()), **made.parts)
    except InputError as error:  # such as a folder that is only read
        print_log(f'{error}; the next search makes it again', 'current',
                  logging.WARNING)
    return made


def _hash(digest, parts: Iterable[np.ndarray]) -> str:
    """Return a hash of parts and of what is hashed before."""
    digest = digest.copy()
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _read(path: str | os.PathLike, digest,
          shape: tuple[int, int]) -> CompressedVectors | None:
    """Return the copy that a file holds, or None if it is not of these vectors."""
    count, dims = shape
    expected = dict(rotation=((dims, dims), np.float32),
                    centroids=((dims // 2, 2**BITS, 2), np.float32),
                    codes=((count, -(-dims // 4)), np.uint8))
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in expected}
            if {name: (part.shape, part.dtype) for name, part in parts.items()
                    } != expected or file['hash'].item() != _hash(
                        digest, parts.values()):
                return None
    except Exception:  # A damaged file may raise anything.
        return None
    return CompressedVectors(**parts)
