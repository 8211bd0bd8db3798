"""Records that an index keeps of a file: facts, and segments."""
import os
import zlib
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ['FileRow', 'Segments', 'pack_features', 'unpack_features']

ROUNDING = 0.01  # by which the length of a stored vector may miss 1
MOST_SECONDS = 1e9  # which no video lasts


@dataclass(frozen=True)
class Segments:
    """The segments of a video.

    Attributes:
        start (np.ndarray): Where they start, float64 (N, ), in seconds.
        end (np.ndarray): Where they end, likewise.
        vectors (np.ndarray): Their features, float16 (N, E).
        features (list[np.ndarray], optional): What a head that compares pairs
            reads of each, float16 (S, E), which stays on the disk: None as read.
    """
    start: np.ndarray
    end: np.ndarray
    vectors: np.ndarray
    features: list[np.ndarray] | None = None

    def checksum(self) -> int:
        """Return a number that tells a damaged row from a whole one."""
        value = 0
        for array in (self.start, self.end, self.vectors):
            value = zlib.crc32(np.ascontiguousarray(array).tobytes(), value)
        return value

    def are_sound(self) -> bool:
        """Check times, and vectors for the length of 1, which NaN has not either."""
        lengths = torch.linalg.vector_norm(
            torch.from_numpy(self.vectors), dim=1, dtype=torch.float32)
        return bool((self.start >= 0).all() and (self.start < self.end).all()
                    and (self.end < MOST_SECONDS).all()
                    and ((lengths - 1).abs() < ROUNDING).all())


@dataclass(frozen=True)
class FileRow:
    """A file as the index knows it.

    Attributes:
        size (int): In bytes.
        modified (int): When, in nanoseconds.
        model (str): The hash of the model that encoded it.
        model_name (str): That model's config, for messages.
        digest (str): A hash of its content, by which it is found when moved.
        reason (str, optional): Why it has no segments. None if it has.
    """
    size: int
    modified: int
    model: str
    model_name: str
    digest: str = ''
    reason: str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.size, int) and isinstance(self.modified, int) and all(
                isinstance(x, str) for x in (self.model, self.model_name, self.digest,
                                             self.reason or ''))):
            raise TypeError(f'a file has facts of other types, {self}')

    def change_of(self, path: str) -> str | None:
        """Return what became of the file since, None if it is as it was."""
        try:
            stat = os.stat(path)
        except (OSError, ValueError):  # the latter of a name that no file has
            return 'is gone since it was indexed'
        if (stat.st_size, stat.st_mtime_ns) != (self.size, self.modified):
            return 'was changed since it was indexed; index its folder again'
        return None


def pack_features(features: np.ndarray | None) -> bytes | None:
    """Return features, float16 (S, E), and in front a number that tells damage."""
    if features is None:
        return None
    content = np.ascontiguousarray(features).tobytes()
    return zlib.crc32(content).to_bytes(4, 'big') + content


def unpack_features(packed: bytes | None, width: int) -> np.ndarray | None:
    """Return what :func:`pack_features` was given, or None if it is damaged."""
    if not packed or (len(packed) - 4) % (2 * width) or (
            zlib.crc32(packed[4:]) != int.from_bytes(packed[:4], 'big')):
        return None
    features = np.frombuffer(packed, np.float16, offset=4).reshape(-1, width)
    return features if np.isfinite(features).all() else None
