"""Find the best vectors by codes of 4 bits for two dimensions."""
import functools
import importlib.util
import logging
import mmap
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from mmengine.logging import print_log

BITS = 4
PACK = 32  # codes that faiss packs together
# Finer codes compare 8 N + M / 5000 vectors, to return N of M: the more there are, the
# more are above the best by chance.
TIMES, ONE_OF = 8, 5000
FINER_AT_A_TIME = 4096  # vectors
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
    """Codes of a product quantizer for vectors, and finer ones for what they miss.

    A code of :data:`BITS` bits stands for two dimensions (Jégou et al., "Product
    Quantization for Nearest Neighbor Search", PAMI 2011); faiss compares codes by
    tables in registers (André et al., "Cache locality is not enough", VLDB 2015). A
    second one stands for what is left of them (Jégou et al., "Searching in one billion
    vectors: re-rank with source coding", ICASSP 2011). Vectors are turned at random
    first: CLIP's dimensions do not vary alike, which would leave the tables coarse.
    ``rotation`` is orthogonal, float32 (E, E), ``centroids`` and ``finer`` are float32
    (E / 2, 16, 2): of the codes, and of the finer ones.
    """

    def __init__(self, rotation: np.ndarray, centroids: np.ndarray, finer: np.ndarray
                 ) -> None:
        self.rotation, self.centroids, self.finer = rotation, centroids, finer

    @classmethod
    def train(cls, vectors: np.ndarray) -> 'Quantizer':
        """Fit the centroids to some vectors, float16 (N, E)."""
        import faiss
        dims, rng = vectors.shape[1], np.random.default_rng(0)
        rotation = np.linalg.qr(rng.standard_normal((dims, dims)))[0].astype(np.float32)
        turned, centroids = vectors.astype(np.float32) @ rotation, []
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # Many small problems, which threads slow down.
        try:
            for _ in range(2):
                plain = _new_quantizer(dims)
                # Which warns where a small index has few vectors for each centroid.
                plain.pq.cp.min_points_per_centroid = 1
                plain.train(turned)
                turned -= plain.sa_decode(plain.sa_encode(turned))
                found = faiss.vector_to_array(plain.pq.centroids)
                centroids.append(found.reshape(dims // 2, 2**BITS, 2))
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(rotation, *centroids)

    def encode(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return codes of vectors, float16 (N, E), two a byte: uint8 (N, bytes).

        And the finer ones, likewise.
        """
        dims = len(self.rotation)
        coarse, fine = (_fill(_new_quantizer(dims), own)
                        for own in (self.centroids, self.finer))
        codes, finer = (np.empty((len(vectors), coarse.sa_code_size()), np.uint8)
                        for _ in range(2))
        for first in range(0, len(vectors), AT_A_TIME):
            part = slice(first, first + AT_A_TIME)
            turned = self.turned(vectors[part])
            codes[part] = coarse.sa_encode(turned)
            finer[part] = fine.sa_encode(turned - coarse.sa_decode(codes[part]))
        return codes, finer

    def turned(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors, float16 (N, E), as they are compared with codes, float32."""
        return (torch.from_numpy(vectors).float()
                @ torch.from_numpy(self.rotation)).numpy()

    def finer_table(self, turned: np.ndarray) -> np.ndarray:
        """Multiply a query that is turned, (E, ), by all that finer codes may be.

        Float32 (bytes, 256): a byte is two codes.
        """
        products = np.einsum('pd,pkd->pk', turned.reshape(-1, 2), self.finer)
        low, high = products[::2], products[1::2]
        table = np.zeros((len(low), 2**BITS, 2**BITS), np.float32)
        table[:len(high)] = high[:, :, None]
        return (table + low[:, None]).reshape(len(low), -1)

    def pack(self, codes: np.ndarray) -> np.ndarray:
        """Return codes (N, bytes) as this version of faiss searches them, uint8."""
        import faiss
        plain = _fill(_new_quantizer(len(self.rotation)), self.centroids)
        plain.add_sa_codes(codes)
        index = faiss.IndexPQFastScan(plain)  # kept, as its codes do not keep it
        return faiss.AlignedTable_to_array(index.codes)

    def open_pack(self, packed: np.ndarray, count: int):
        """Return the index of ``count`` codes that are packed."""
        import faiss
        dims = len(self.rotation)
        index = _fill(faiss.IndexPQFastScan(
            dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT), self.centroids)
        faiss.copy_array_to_AlignedTable(packed, index.codes)
        index.ntotal, index.ntotal2 = count, -(-count // PACK) * PACK
        return index


def _new_quantizer(dims: int):
    import faiss
    return faiss.IndexPQ(dims, dims // 2, BITS, faiss.METRIC_INNER_PRODUCT)


def _fill(index, centroids: np.ndarray):
    import faiss
    faiss.copy_array_to_vector(centroids.ravel(), index.pq.centroids)
    index.is_trained = True
    return index


def checked(codes: np.ndarray) -> np.ndarray:
    """Return codes, uint8 (N, bytes), as words with a checksum, uint32 (N, words).

    They are read now and then, from a file of which all is not read before.
    """
    words = np.zeros((len(codes), fine_words(codes.shape[1])), '<u4')
    words.view(np.uint8)[:, :codes.shape[1]] = codes
    words[:, -1] = _sums(words)
    return words


def are_whole(words: np.ndarray) -> np.ndarray:
    """Compare words of :func:`checked` with their checksums: bool (N, )."""
    return words[:, -1] == _sums(words)


def _sums(words: np.ndarray) -> np.ndarray:
    """Hash each row but its last word.

    The multilinear family, upper halves of products with random numbers (Lemire and
    Kaser, "Strongly universal string hashing is fast", 2014).
    """
    numbers = _random_numbers(words.shape[1])
    sums = (words[:, :-1] * numbers[1:]).sum(1) + numbers[0]
    return (sums >> np.uint64(32)).astype('<u4')


@functools.cache
def _random_numbers(count: int) -> np.ndarray:
    return np.random.PCG64(0).random_raw(count)  # the same of any version of numpy


def fine_words(size: int) -> int:
    """Return how many words codes of so many bytes take, with their checksum."""
    return -(-size // 4) + 1


def packed_size(count: int, width: int) -> int:
    """Return how many bytes :meth:`Quantizer.pack` returns."""
    return -(-count // PACK) * PACK * -(-width // 4)


class CompressedVectors:
    """Vectors as codes, all of which a search reads, and some of the finer ones.

    ``packs`` are indexes of :meth:`Quantizer.open_pack`, ``finer`` the finer codes of
    each one's vectors by :func:`checked`, which may be on the disk, and ``numbers`` are
    what the vectors are called, (N, ). ``path`` is where finer codes are from.
    """

    def __init__(self, quantizer: Quantizer, packs: Sequence,
                 finer: Sequence[np.ndarray], numbers: np.ndarray, path: str = ''
                 ) -> None:
        self.quantizer, self.numbers, self.path = quantizer, numbers, path
        self._parts = [part for part in zip(packs, finer) if part[0].ntotal]
        self._first = np.cumsum([0, *(pack.ntotal for pack, _ in self._parts)])

    def best(self, query: np.ndarray, count: int, fits: np.ndarray | None = None
             ) -> np.ndarray:
        """Return the numbers of about the best vectors of a query, float32 (E, ).

        As many as ``count``, or all that there are, of those that fit, bool (N, );
        more if finer codes are damaged.
        """
        turned = np.einsum('e,ed->d', query, self.quantizer.rotation)
        fitting = all_of_them = len(self.numbers)
        if fits is not None:
            fitting = max(1, int(np.count_nonzero(fits)))
        many = TIMES * count + fitting // ONE_OF
        most = many * all_of_them // fitting
        with work_threads() as threads:
            while True:
                scores, places = self._search(threads, turned, most)
                if fits is not None:
                    own = fits[self.numbers[places]]
                    scores, places = scores[own], places[own]
                if len(places) >= many or most >= all_of_them:
                    break
                most *= 2  # Those that fit are not among the best.
            if count < len(places):
                own = _highest(scores, many)
                own = own[np.argsort(places[own])]
                places = places[own]
                scores = scores[own] + self._finer_products(threads, turned, places)
                if damaged := np.count_nonzero(np.isinf(scores)):
                    count += damaged
                    print_log(f'{self.path}: codes are damaged, and searches slow; '
                              'delete it and open the index again, which makes it '
                              'anew', 'current', logging.WARNING)
        return self.numbers[places[_highest(scores, count)]]

    def _search(self, threads: ThreadPoolExecutor, turned: np.ndarray, count: int
                ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores by codes, and places, of the best of each pack."""
        found = list(threads.map(
            lambda part: part[0].search(turned[None], min(count, part[0].ntotal)),
            self._parts))
        scores = np.concatenate([scores[0] for scores, _ in found])
        places = np.concatenate([np.where(rows[0] < 0, -1, rows[0] + first)
                                 for (_, rows), first in zip(found, self._first)])
        return scores[places >= 0], places[places >= 0]

    def _finer_products(self, threads: ThreadPoolExecutor, turned: np.ndarray,
                        places: np.ndarray) -> np.ndarray:
        """Multiply by what finer codes stand for, infinite where they are damaged.

        Places ascend.
        """
        table = self.quantizer.finer_table(turned)
        first_of = table.shape[1] * np.arange(len(table))

        def products(finer: np.ndarray, rows: np.ndarray) -> np.ndarray:
            words = finer[rows]
            codes = words.view(np.uint8)[:, :len(table)]
            sums = table.ravel().take(codes + first_of, mode='clip').sum(1)
            return np.where(are_whole(words), sums, np.inf)

        ends = np.searchsorted(places, self._first)
        parts = [(finer, places[place:min(place + FINER_AT_A_TIME, stop)] - first)
                 for (_, finer), first, start, stop in zip(
                     self._parts, self._first, ends, ends[1:])
                 for place in range(start, stop, FINER_AT_A_TIME)]
        return np.concatenate([*threads.map(products, *zip(*parts))])


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the highest scores, in any order."""
    if count >= len(scores):
        return np.arange(len(scores))
    return np.argpartition(scores, -count)[-count:]
