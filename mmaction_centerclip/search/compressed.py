"""Find the best rows by a small copy of them, of 4 bits for two dimensions."""
import hashlib
import importlib.util
import logging
import os
import zipfile

import numpy as np
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.files import atomic_write

__all__ = ['CompressedRows', 'can_compress', 'open_compressed']

BITS = 4
TRAINED_ON = 16_384  # rows
AT_A_TIME = 65_536  # rows, to be float32 for a moment


def can_compress(vectors: np.ndarray) -> bool:
    """Say whether rows can be compressed: faiss is there, and E is even."""
    return importlib.util.find_spec('faiss') is not None and not vectors.shape[1] % 2


class CompressedRows:
    """Rows as codes of a product quantizer, all of which a search reads.

    A code of :data:`BITS` bits stands for two dimensions, so that 512 take 128
    bytes and not 1024; faiss compares codes by tables that stay in registers
    (Jégou et al., "Product Quantization for Nearest Neighbor Search", PAMI
    2011; André et al., "Cache locality is not enough", VLDB 2015). It has no
    graph and no lists: no row is out of reach, and building is one pass. Rows
    are turned at random first, so that all dimensions vary alike: CLIP's do
    not, and those that vary most would leave the tables coarse for the others.

    Args:
        rotation (np.ndarray): Orthogonal, float32 (E, E).
        centroids (np.ndarray): What codes stand for, float32 (E / 2, 16, 2).
        codes (np.ndarray): Of the rows, two a byte, uint8 (N, bytes).
    """

    def __init__(self, rotation: np.ndarray, centroids: np.ndarray,
                 codes: np.ndarray) -> None:
        import faiss
        self.rotation, self.centroids, self.codes = rotation, centroids, codes
        plain = _quantizer(2 * len(centroids))
        faiss.copy_array_to_vector(centroids.ravel(), plain.pq.centroids)
        plain.is_trained = True
        plain.add_sa_codes(codes)
        self._index = faiss.IndexPQFastScan(plain)

    @classmethod
    def build(cls, vectors: np.ndarray) -> 'CompressedRows':
        """Compress rows, float16 (N, E)."""
        import faiss
        count, dims = vectors.shape
        rng, plain = np.random.default_rng(0), _quantizer(dims)
        rotation = np.linalg.qr(rng.standard_normal((dims, dims)))[0].astype(np.float32)

        def turned(rows: np.ndarray) -> np.ndarray:
            return rows.astype(np.float32) @ rotation

        # Which warns where a small index has few rows for each centroid.
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
        """Return about the best rows of a query, float32 (E, ): int64 (count, )."""
        _, rows = self._index.search((query @ self.rotation)[None],
                                     min(count, len(self.codes)))
        return rows[0][rows[0] >= 0]


def _quantizer(dims: int):
    import faiss
    return faiss.IndexPQ(dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT)


def open_compressed(path: str | os.PathLike, vectors: np.ndarray) -> CompressedRows:
    """Read the compressed rows beside an index, or make them.

    The file can be deleted at any time: it is made anew where it is missing,
    damaged, or of other rows. It is a file of numpy's arrays, whose parts have
    checksums, and is written whole or not at all.

    Args:
        path (str | os.PathLike): The file, an ``.npz``.
        vectors (np.ndarray): The rows, float16 (N, E).
    """
    digest = hashlib.sha256(vectors.data).hexdigest()
    found = _read(path, digest, vectors.shape)
    if found is not None:
        return found
    print_log(f'Compressing {len(vectors)} rows for {path}', 'current')
    made = CompressedRows.build(vectors)
    try:
        with atomic_write(os.fspath(path)) as partial, open(partial, 'wb') as file:
            np.savez(file, rows=digest, rotation=made.rotation,
                     centroids=made.centroids, codes=made.codes)
    except InputError as error:  # such as a folder that is only read
        print_log(f'{error}; the next search makes it again', 'current',
                  logging.WARNING)
    return made


def _read(path: str | os.PathLike, digest: str,
          shape: tuple[int, int]) -> CompressedRows | None:
    """Return what the file holds, or None if that is not these rows."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if file['rows'].item() != digest:
                return None
            parts = [file[name] for name in ('rotation', 'centroids', 'codes')]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    count, dims = shape
    if [(part.shape, part.dtype) for part in parts] != [
            ((dims, dims), np.float32), ((dims // 2, 2**BITS, 2), np.float32),
            ((count, -(-dims // 4)), np.uint8)]:
        return None
    return CompressedRows(*parts)
