"""The files of an index, and their segments."""
import sqlite3
import zlib
from collections.abc import Collection, Iterable
from dataclasses import astuple
from itertools import repeat

import numpy as np

from .index_file import IndexFile
from .records import FileRecord, Segments

RUN = 8  # rows that follow each other, from where they are read as one
AT_A_TIME = 16_384  # rows of a statement


class IndexStore(IndexFile):
    """Files and their segments, each file whole or not at all."""

    def files(self, paths: Collection[str] | None = None) -> dict[str, FileRecord]:
        """Return what is known of some files, or of all, by path."""
        marks = ', '.join('?' * len(paths or ()))
        which = '' if paths is None else f'WHERE path IN ({marks})'
        with self._checked():
            return {path: FileRecord(*facts) for path, *facts in self._rows(
                'SELECT CAST(path AS TEXT), size, modified, model, model_name, digest, '
                f'reason FROM files {which} ORDER BY path', *(paths or ()))}

    def models(self) -> set[tuple[str, str]]:
        """Return the models of all files, each with its name."""
        return {*self._rows('SELECT DISTINCT model, model_name FROM files')}

    def put(self, path: str, record: FileRecord, segments: Segments | None) -> None:
        """Write a file's record and its segments, in place of older ones."""
        self.put_all([(path, record, segments)])

    def put_all(self, files: Iterable[tuple[str, FileRecord, Segments | None]]) -> None:
        """Write many files as :meth:`put` does, all or none."""
        with self._opened(makes=True).transaction() as connection:
            for path, record, segments in files:
                _remove(connection, path)
                _insert(connection, path, record, segments)

    def move(self, old: str, path: str, record: FileRecord) -> None:
        """Move a file's record and segments to another path, or to newer facts."""
        with self._opened().transaction() as connection:
            if path != old:
                _remove(connection, path)
            connection.execute(
                'UPDATE files SET path = ?, size = ?, modified = ? WHERE path = ?',
                (path, record.size, record.modified, old))

    def remove(self, paths: Iterable[str]) -> None:
        """Forget files and their segments."""
        if file := self._opened():
            with file.transaction() as connection:
                for path in paths:
                    _remove(connection, path)

    def listing(self) -> list[tuple[int, str, int]]:
        """Return what :meth:`read` takes, of all files with segments, by path."""
        with self._checked():
            return [(int(file), path, int(checksum)) for file, path, checksum in
                    self._rows('SELECT id, CAST(path AS TEXT), checksum FROM files '
                               'WHERE reason IS NULL ORDER BY path')]

    def width(self) -> int:
        """Return how many values the first vector has, 0 if there is none."""
        rows = self._rows('SELECT length(vector) FROM segments LIMIT 1')
        return rows[0][0] // 2 if rows else 0

    def count(self, most: int = -1) -> int:
        """Return how many segments there are; counting ends at ``most``."""
        rows = self._rows('SELECT count(*) FROM (SELECT 1 FROM segments LIMIT ?)', most)
        return rows[0][0] if rows else 0

    def has_features(self) -> bool:
        """Return True if more than vectors is kept, for a head that compares pairs."""
        rows = self._rows('SELECT features IS NOT NULL FROM segments LIMIT 1')
        return bool(rows and rows[0][0])

    def last_row(self) -> int:
        """Return the highest row of a segment, above which others are put."""
        return self._rows('SELECT max(rowid) FROM segments')[0][0]

    def load(self) -> tuple[list[str], np.ndarray, Segments]:
        """Read all segments, and check that they are as they were written.

        Return paths; each segment's file, int32 (N, ); and segments, by file and start.
        """
        if not self._opened():
            return [], np.empty(0, np.int32), Segments(
                *np.empty((2, 0)), np.empty((0, 0), np.float16))
        with self.one_moment(), self._checked():
            return self._load()

    def _load(self) -> tuple[list[str], np.ndarray, Segments]:
        files = self.listing()
        (count, size), = self._rows(
            'SELECT count(*), max(length(vector)) FROM segments')
        vectors = np.empty((count, (size or 0) // 2), np.float16)
        times, file_of = np.empty((2, count)), np.empty(count, np.int32)
        place = 0
        for number, (file, path, checksum) in enumerate(files):
            _, read = self.read(file, path, checksum)
            part = slice(place, place + len(read.start))
            if part.stop > count or len(read.start) and (
                    read.vectors.shape[1] != vectors.shape[1]):
                raise self.damaged(f'its segments of {path} have other sizes')
            times[:, part] = read.start, read.end
            vectors[part] = read.vectors.reshape(len(read.start), vectors.shape[1])
            file_of[part] = number
            place = part.stop
        if place != count:
            raise self.damaged(f'{count - place} segments are of no file')
        return [path for _, path, _ in files], file_of, Segments(*times, vectors)

    def read(self, file: int, path: str, checksum: int) -> tuple[np.ndarray, Segments]:
        """Read a file's segments, without features, as they were written.

        Return their rows in the file's table, int64 (N, ), too.
        """
        with self._checked():
            found = self._rows('SELECT rowid, start, "end", vector FROM segments WHERE '
                               'file = ? ORDER BY start', file)
            rows, start, end, vectors = zip(*found) if found else ((), ) * 4
            if len({*map(len, vectors)}) > 1:
                raise self.damaged(f'its segments of {path} have other sizes')
            packed = np.frombuffer(bytearray().join(vectors), np.float16)
            segments = Segments(
                np.array(start, np.float64), np.array(end, np.float64),
                packed.reshape(len(rows), -1 if rows else 0))
            if segments.checksum() != checksum:
                raise self.damaged(f'the checksum of {path} differs')
            if not segments.are_sound():
                raise self.damaged(f'{path} has times or vectors that no video has')
            return np.array(rows, np.int64), segments

    def vectors(self, rows: np.ndarray) -> list[tuple[int, bytes]]:
        """Return the vectors of rows, ascending (N, ), each behind its row.

        Those that there are, and unchecked.
        """
        ends = np.flatnonzero(np.diff(rows, append=rows[-1:] + 2) != 1)
        if len(rows) >= RUN * len(ends):
            firsts = rows[np.r_[:min(1, len(ends)), ends[:-1] + 1]]
            runs = [f'BETWEEN {first} AND {last}' for first, last in zip(
                firsts.tolist(), rows[ends].tolist())]
        else:
            runs = [f'IN ({",".join(map(str, rows[first:first + AT_A_TIME].tolist()))})'
                    for first in range(0, len(rows), AT_A_TIME)]
        return [found for run in runs for found in self._rows(
            f'SELECT rowid, vector FROM segments WHERE rowid {run}')]

    def features(self, path: str, start: float) -> np.ndarray:
        """Read what is kept of a segment beside its vector, float16 (S, E)."""
        with self._checked():
            for packed, size in self._rows(
                    'SELECT features, length(vector) FROM segments WHERE start = ? AND '
                    'file = (SELECT id FROM files WHERE path = ?)', start, path):
                features = np.frombuffer(packed, np.float16, offset=4).reshape(
                    -1, size // 2)
                if _pack(features) == packed and np.isfinite(features).all():
                    return features
        raise self.damaged(f'the features of {path} differ')


def _insert(connection: sqlite3.Connection, path: str, record: FileRecord,
            segments: Segments | None) -> None:
    file = connection.execute(
        'INSERT INTO files (path, size, modified, model, model_name, digest, '
        'reason, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        (path, *astuple(record), segments.checksum() if segments else 0)).lastrowid
    if segments:
        connection.executemany(
            'INSERT INTO segments VALUES (?, ?, ?, ?, ?)',
            ((file, float(start), float(end), vector.tobytes(), more)
             for start, end, vector, more in zip(
                 segments.start, segments.end, segments.vectors,
                 map(_pack, segments.features or repeat(None)))))


def _remove(connection: sqlite3.Connection, path: str) -> None:
    connection.execute('DELETE FROM segments WHERE file IN '
                       '(SELECT id FROM files WHERE path = ?)', (path, ))
    connection.execute('DELETE FROM files WHERE path = ?', (path, ))


def _pack(features: np.ndarray | None) -> bytes | None:
    """Return features, float16 (S, E), and in front a number that tells damage."""
    if features is None:
        return None
    content = features.tobytes()
    return zlib.crc32(content).to_bytes(4, 'big') + content
