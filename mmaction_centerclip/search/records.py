"""Records that an index keeps of a file: facts, and segments."""
import zlib
from dataclasses import dataclass

import numpy as np

__all__ = ['FileRow', 'Segments', 'pack_features', 'unpack_features']


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


@dataclass(frozen=True)
class FileRow:
    """A file as the index knows it.

    Attributes:
        size (int): In bytes.
        modified (int): When, in nanoseconds.
        model (str): The hash of the model that encoded it.
        model_name (str): That model's config, for messages.
        reason (str, optional): Why it has no segments. None if it has.
    """
    size: int
    modified: int
    model: str
    model_name: str
    reason: str | None = None


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
    return np.frombuffer(packed, np.float16, offset=4).reshape(-1, width)
