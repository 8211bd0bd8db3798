"""Read vectors from the file of an index as they are asked for."""
import zlib

import numpy as np

from .ranking import product
from .store import IndexStore

AT_A_TIME = 16_384  # vectors
FEW = 2048  # vectors that one thread multiplies as fast as several


class StoredVectors:
    """Vectors that stay in the file of an index, float16 (N, E) to who indexes them.

    ``rows`` are their places in its table, integers (N, ), and ``checksums`` tell those
    that were changed since, uint32 (N, ).
    """

    def __init__(self, store: IndexStore, rows: np.ndarray, checksums: np.ndarray,
                 width: int) -> None:
        self.store, self.rows, self.checksums = store, rows, checksums
        self.shape = len(rows), width

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, numbers: np.ndarray) -> np.ndarray:
        rows, order = self.rows[numbers], slice(None)
        checksums = self.checksums[numbers]
        if (np.diff(rows) <= 0).any():
            rows, first, order = np.unique(rows, return_index=True, return_inverse=True)
            checksums = checksums[first]
        found = self.store.vectors(rows)
        if [zlib.crc32(vector) for _, vector in found] != checksums.tolist():
            raise self.store.damaged('segments are not as they were written')
        vectors = np.frombuffer(bytearray().join([vector for _, vector in found]),
                                np.float16)
        return vectors.reshape(-1, self.shape[1])[order]

    def scores(self, query: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Multiply some vectors (K, ) by a query, float32 (E, ): float32 (K, )."""
        if len(numbers) <= FEW:
            return multiply(self[numbers].astype(np.float32), query)
        return np.concatenate([
            product(self, query, numbers[first:first + AT_A_TIME])
            for first in range(0, len(numbers), AT_A_TIME)])


def multiply(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Multiply float32 (K, E) by (E, ) in this thread alone.

    Threads of torch and of BLAS wait for more in a loop when they are done, in the way
    of those that compare codes.
    """
    return np.einsum('ke,e->k', vectors, query)
