"""Find the best vectors by codes of 4 bits for two dimensions."""
import importlib.util
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

BITS = 4
PACK = 32  # codes that faiss packs together
TRAINED_ON = 16_384  # vectors
AT_A_TIME = 16_384  # vectors, to be float32 for a moment


def can_compress(width: int) -> bool:
    """Return True if faiss is there, and the width E of vectors is even."""
    return importlib.util.find_spec('faiss') is not None and not width % 2


def work_threads() -> ThreadPoolExecutor:
    """Return as many threads as faiss would use, which takes one for a single query."""
    import faiss
    # Each alone: threads of theirs would wait for each other in loops.
    return ThreadPoolExecutor(faiss.omp_get_max_threads(),
                              initializer=faiss.omp_set_num_threads, initargs=(1, ))


def forget_pages(array: np.ndarray) -> None:
    """Return the memory of an array that is mapped to a file, until it is read."""
    if isinstance(array, np.memmap) and hasattr(mmap, 'MADV_DONTNEED'):
        array._mmap.madvise(mmap.MADV_DONTNEED)


class Quantizer:
    """Codes of a product quantizer for vectors.

    A code of :data:`BITS` bits stands for two dimensions (Jégou et al., "Product
    Quantization for Nearest Neighbor Search", PAMI 2011); faiss compares codes by
    tables in registers (André et al., "Cache locality is not enough", VLDB 2015).
    Vectors are turned at random first: CLIP's dimensions do not vary alike, which would
    leave the tables coarse. ``rotation`` is orthogonal, float32 (E, E), ``centroids``
    are float32 (E / 2, 16, 2).
    """

    def __init__(self, rotation: np.ndarray, centroids: np.ndarray) -> None:
        self.rotation, self.centroids = rotation, centroids

    @classmethod
    def train(cls, vectors: np.ndarray) -> 'Quantizer':
        """Fit the centroids to some vectors, float16 (N, E)."""
        import faiss
        dims, rng = vectors.shape[1], np.random.default_rng(0)
        rotation = np.linalg.qr(rng.standard_normal((dims, dims)))[0].astype(np.float32)
        plain = _new_quantizer(dims)
        # Which warns where a small index has few vectors for each centroid.
        plain.pq.cp.min_points_per_centroid = 1
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # Many small problems, which threads slow down.
        try:
            plain.train(vectors.astype(np.float32) @ rotation)
        finally:
            faiss.omp_set_num_threads(threads)
        centroids = faiss.vector_to_array(plain.pq.centroids)
        return cls(rotation, centroids.reshape(dims // 2, 2**BITS, 2))

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """Return the codes of vectors, float16 (N, E): two a byte, uint8 (N, bytes)."""
        plain = self._fill(_new_quantizer(len(self.rotation)))
        codes = np.empty((len(vectors), plain.sa_code_size()), np.uint8)
        for first in range(0, len(vectors), AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            codes[part] = plain.sa_encode(self.turned(vectors[part]))
        return codes

    def turned(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors, float16 (N, E), as they are compared with codes, float32."""
        return (torch.from_numpy(vectors).float()
                @ torch.from_numpy(self.rotation)).numpy()

    def pack(self, codes: np.ndarray) -> np.ndarray:
        """Return codes (N, bytes) as this version of faiss searches them, uint8."""
        import faiss
        plain = self._fill(_new_quantizer(len(self.rotation)))
        plain.add_sa_codes(codes)
        index = faiss.IndexPQFastScan(plain)  # kept, as its codes do not keep it
        return faiss.AlignedTable_to_array(index.codes)

    def open_pack(self, packed: np.ndarray, count: int):
        """Return the index of ``count`` codes that are packed."""
        import faiss
        dims = len(self.rotation)
        index = self._fill(faiss.IndexPQFastScan(
            dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT))
        faiss.copy_array_to_AlignedTable(packed, index.codes)
        index.ntotal, index.ntotal2 = count, -(-count // PACK) * PACK
        return index

    def _fill(self, index):
        import faiss
        faiss.copy_array_to_vector(self.centroids.ravel(), index.pq.centroids)
        index.is_trained = True
        return index


def _new_quantizer(dims: int):
    import faiss
    return faiss.IndexPQ(dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT)


def packed_size(count: int, width: int) -> int:
    """Return how many bytes :meth:`Quantizer.pack` returns."""
    return -(-count // PACK) * PACK * -(-width // 4)


class CompressedVectors:
    """Vectors as codes, all of which a search reads.

    ``packs`` are indexes of :meth:`Quantizer.open_pack`, and ``numbers`` are what
    their vectors are called, (N, ).
    """

    def __init__(self, quantizer: Quantizer, packs: Sequence, numbers: np.ndarray
                 ) -> None:
        self.quantizer, self.numbers, self._packs = quantizer, numbers, packs
        self._first = np.cumsum([0, *(pack.ntotal for pack in packs)])

    def best(self, query: np.ndarray, count: int, fits: np.ndarray | None = None
             ) -> np.ndarray:
        """Return the numbers of about the best vectors of a query, float32 (E, ).

        As many as ``count``, or all that there are, of those that fit, bool (N, ).
        """
        most, all_of_them = count, len(self.numbers)
        if fits is not None:
            most = count * all_of_them // max(1, int(np.count_nonzero(fits)))
        while True:
            scores, numbers = self._search(query, most)
            if fits is not None:
                scores, numbers = scores[fits[numbers]], numbers[fits[numbers]]
            if len(numbers) >= count or most >= all_of_them:
                break
            most *= 2  # Those that fit are not among the best.
        if count < len(numbers):
            numbers = numbers[np.argpartition(scores, -count)[-count:]]
        return numbers

    def _search(self, query: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores by codes, and numbers, of the best of each pack."""
        turned = np.einsum('e,ed->d', query, self.quantizer.rotation)[None]
        with work_threads() as threads:
            found = list(threads.map(
                lambda pack: pack.search(turned, min(count, pack.ntotal)), self._packs))
        scores = np.concatenate([scores[0] for scores, _ in found])
        rows = np.concatenate([np.where(rows[0] < 0, -1, rows[0] + first)
                               for (_, rows), first in zip(found, self._first)])
        return scores[rows >= 0], self.numbers[rows[rows >= 0]]
