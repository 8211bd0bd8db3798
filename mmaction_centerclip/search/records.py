"""Facts of a file and its segments, and the tables of an index that hold them."""
import os
import zlib
from dataclasses import astuple, dataclass

import numpy as np
import torch

APPLICATION = 0x43434C50  # marks the file as an index of ours
VERSION = 4
SCHEMA = (
    'CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)',
    'CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, '
    'size INTEGER NOT NULL, modified INTEGER NOT NULL, model TEXT NOT NULL, '
    'model_name TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT, '
    'checksum INTEGER NOT NULL)',
    'CREATE TABLE segments (file INTEGER NOT NULL REFERENCES files (id), '
    'start REAL NOT NULL, "end" REAL NOT NULL, vector BLOB NOT NULL, features BLOB)',
    'CREATE INDEX segments_of_file ON segments (file, start)')
ROUNDING = 0.01  # by which the length of a stored vector may miss 1
MOST_SECONDS = 1e9  # which no video lasts


@dataclass(frozen=True)
class Segments:
    """The segments of a video, or of all."""
    start: np.ndarray  # seconds, float64 (N, )
    end: np.ndarray
    vectors: np.ndarray  # float16 (N, E)
    # What a head that compares pairs reads of each, float16 (S, E), to be written.
    features: list[np.ndarray] | None = None

    def checksum(self) -> int:
        """Return a number that tells damaged segments from whole ones."""
        return zlib.crc32(b''.join(
            array.tobytes() for array in (self.start, self.end, self.vectors)))

    def are_sound(self) -> bool:
        """Check times, and vectors for the length of 1, which NaN has not."""
        lengths = torch.linalg.vector_norm(
            torch.from_numpy(self.vectors), dim=1, dtype=torch.float32)
        return bool((self.start >= 0).all() and (self.start < self.end).all()
                    and (self.end < MOST_SECONDS).all()
                    and ((lengths - 1).abs() < ROUNDING).all())


@dataclass(frozen=True)
class FileRecord:
    """A file as the index knows it."""
    size: int
    modified: int  # in nanoseconds
    model: str  # a hash of the one that encoded it
    model_name: str  # that model's config, for messages
    digest: str = ''  # of its content, by which it is found when moved
    reason: str | None = None  # why it has no segments

    def __post_init__(self) -> None:
        kinds = int, int, str, str, str, (str, type(None))
        if not all(map(isinstance, astuple(self), kinds)):
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
