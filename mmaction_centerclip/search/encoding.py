"""Split video files into windows, and encode their segments, decoding some ahead."""
import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import MeanPoolingHead

from .records import Segments

# Of the range of grey values: less is motion, or noise.
LEAST_CHANGE = 0.06
# A cut changes so many times as much as the frames around it do.
TIMES_AS_MUCH = 3.
ITEMS_AHEAD = 4  # windows of a file that wait to be encoded
PICTURE = 16  # Pixels on a side of the pictures that are compared.


def split_video(seconds: np.ndarray, length: float,
                cuts: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Split a video into windows that are no longer than so many seconds.

    What lies between two cuts (first frames of shots, ascending) is split into equal
    parts. ``seconds`` says when each frame starts and the video ends, float64 (frames +
    1, ). Of each window, return the first frame, and that behind its last.

    Examples:
        >>> seconds = np.arange(61) / 2
        >>> split_video(seconds, 10)
        [(0, 20), (20, 40), (40, 60)]
        >>> split_video(seconds, 10, np.array([6]))
        [(0, 6), (6, 24), (24, 42), (42, 60)]
    """
    frames = len(seconds) - 1
    shots = [0, *([] if cuts is None else cuts.tolist()), frames]
    edges = []
    for first, end in zip(shots, shots[1:]):
        start, stop = seconds[first], seconds[end]
        # Without the little by which a sum of durations misses a whole number.
        parts = max(1, int(np.ceil((stop - start) / length - 1e-6)))
        inner = np.linspace(start, stop, parts + 1)[:-1]
        edges += np.clip(np.searchsorted(seconds, inner - 1e-6), first, end).tolist()
    edges = sorted({*edges, frames})
    return list(zip(edges, edges[1:]))


def segment_frames(sampled: list[int], starts: list[int], first: int,
                   end: int) -> list[tuple[int, int]]:
    """Return the frames from ``first`` to ``end`` that each segment stands for.

    Those nearer to its own sampled frames than to those of the next: its first, and the
    one behind its last, which are equal if its frames are the next one's as well.
    ``starts`` are positions in ``sampled``, whose frames ascend.

    Examples:
        >>> segment_frames([2, 7, 12, 17], [0, 2], 0, 20)
        [(0, 10), (10, 20)]
    """
    inner = [(sampled[start - 1] + sampled[start] + 1) // 2 for start in starts[1:]]
    edges = [first, *inner, end]
    return list(zip(edges, edges[1:]))


def find_cuts(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Find where shots begin, in grey frames, uint8 (H, W): int64, without the first.

    A cut differs much from the last frame, :data:`TIMES_AS_MUCH` as those around it.
    """
    changes, last = [], None
    for frame in frames:
        picture = F.adaptive_avg_pool2d(
            torch.from_numpy(np.ascontiguousarray(frame))[None].float() / 255, PICTURE)
        if last is not None:
            changes.append(float((picture - last).abs().mean()))
        last = picture
    changes = np.array(changes)
    padded = np.pad(changes, 2)
    around = (padded[:-4] + padded[1:-3] + padded[3:-1] + padded[4:]) / 4
    return 1 + np.flatnonzero(
        (changes >= LEAST_CHANGE) & (changes >= TIMES_AS_MUCH * around))


class SegmentEncoder:
    """Turn a video file into a vector for each segment.

    A window, of at most ``window`` seconds, is sampled as a whole video is. It has as
    many segments as the model gives: those of its clustering, or its frames. Of a head
    that compares pairs each window is one: the vector is the mean of its features,
    which are kept beside it. With ``at_cuts`` windows begin where shots do, too, for
    which all frames are decoded.
    """

    def __init__(self, inferencer: VideoTextRetrievalInferencer, window: float,
                 at_cuts: bool, batch_size: int = 1) -> None:
        self.inferencer = inferencer
        self.window, self.at_cuts, self.batch_size = window, at_cuts, batch_size
        head = inferencer.model.head
        self._pooling = head if head.separable else MeanPoolingHead()

    def open(self, path: str) -> tuple[dict, np.ndarray, list[tuple[int, int]]]:
        """Open a video, and split it into windows, see :func:`split_video`.

        Beside these, return when each frame starts and the last ends, in seconds.
        """
        video = self.inferencer.pipeline.open(path)
        # All frames are decoded for that, and their times are known then.
        reader = video['video_reader']
        cuts = find_cuts(reader.decode_grey()) if self.at_cuts else None
        seconds = reader.get_seconds()
        return video, seconds, split_video(seconds, self.window, cuts)

    def decode(self, path: str) -> Iterator[tuple[np.ndarray, int, int, dict] | None]:
        """Yield the windows of a file: times, first frame, end and sample.

        None, and all windows again, where the packets told of other frames.
        """
        video, seconds, windows = self.open(path)
        pipeline, reader = self.inferencer.pipeline, video['video_reader']
        while True:
            try:
                for first, end in windows:
                    yield seconds, first, end, pipeline.prepare(video, first, end)
                reader.finish()
            except DecodingError:
                if len(reader) == len(seconds) - 1:
                    raise  # else there are fewer frames than were asked for
            said, seconds = seconds, reader.get_seconds()
            if np.array_equal(said, seconds):
                return
            windows = split_video(seconds, self.window)
            yield None

    @torch.no_grad()
    def encode(self, windows: Iterator[tuple[np.ndarray, int, int, dict] | None]
               ) -> Segments:
        """Encode the windows of one file, from :meth:`decode`."""
        times, vectors, kept = [], [], []
        separable = self.inferencer.model.head.separable
        while batch := list(islice(windows, self.batch_size)):
            if None in batch:
                times, vectors, kept = [], [], []
                batch = batch[batch.index(None) + 1:]
                if not batch:
                    continue
            encoded = self._segments([sample for *_, sample in batch])
            for (seconds, first, end, sample), own, starts in zip(batch, *encoded):
                if separable:
                    sampled = sample['data_samples'].frame_inds
                    spans = segment_frames(sampled, starts, first, end)
                    found = self._vectors(own[:, None])
                else:
                    spans, found = [(first, end)], self._vectors(own[None])
                    kept.append(_half(own))
                for (start, stop), vector in zip(spans, found):
                    if start < stop:  # else its frames are those of the next
                        times.append((seconds[start], seconds[stop]))
                        vectors.append(vector)
        times = np.array(times, np.float64).reshape(-1, 2)
        return Segments(times[:, 0], times[:, 1], _half(torch.stack(vectors)),
                        None if separable else kept)

    @torch.no_grad()
    def encode_query(self, query: str | os.PathLike | np.ndarray) -> np.ndarray:
        """Return the vector (E, ) of a text, or of a clip or a picture."""
        model, pipeline = self.inferencer.model, self.inferencer.pipeline
        if isinstance(query, str) and model.head.separable:
            return self.inferencer.encode_texts(query).features['text'][0].numpy()
        if isinstance(query, str):
            ids, _ = pipeline.tokenize([query])
            text = model.text_backbone(ids.to(model.head.logit_scale.device))
            return self._pooling.text_features(text)['text'][0].cpu().numpy()
        if isinstance(query, os.PathLike) and os.path.isdir(query):
            raise InputError(f'{query}: expected a video or a picture, got a folder')
        try:
            sample = pipeline.prepare(pipeline.open(query))
        except DecodingError as error:
            raise InputError(f'{query}: {error.reason}') from error
        (segments, ), _ = self._segments([sample])
        return self._vectors(segments[None])[0].numpy()

    def _segments(self, samples: list[dict]) -> tuple[list[Tensor], list[list[int]]]:
        """Return each window's segments (S, E), and each one's first frame."""
        model, inputs = self.inferencer.model, self.inferencer.batch(samples)
        segments, mask, starts = model.encode_segments(inputs)
        if starts is None:  # As many frames each.
            frames, count = inputs['imgs'].shape[1], mask.shape[1]
            if frames % count:
                raise InputError(f'{frames} sampled frames are not {count} segments of '
                                 'equally many')
            starts = torch.arange(0, frames, frames // count).expand_as(mask)
        counts = [int(own.sum()) or len(own) for own in mask]  # padding comes last
        return ([own[:count] for own, count in zip(
                    model.project(segments).float(), counts)],
                [own[:count] for own, count in zip(starts.tolist(), counts)])

    def _vectors(self, segments: Tensor) -> Tensor:
        """Return a vector (B, E) of videos of whole segments (B, S, E)."""
        mask = torch.ones(segments.shape[:2], dtype=torch.bool, device=segments.device)
        return self._pooling.video_features(segments, mask)['video'].float().cpu()


def _half(x: Tensor) -> np.ndarray:
    stored = x.cpu().numpy().astype(np.float16)
    if not np.isfinite(stored).all():
        raise InputError('the model gives features that are not finite in float16')
    return stored


def run_ahead(jobs: Iterator[Callable[[], Iterator]],
              num_workers: int) -> Iterator[Iterator]:
    """Run iterators in threads, and yield those of their items, in order.

    An exception of an iterator is raised to who takes its items.
    """
    stop, waiting, end = threading.Event(), deque(), object()

    def work(job: Callable[[], Iterator], items: queue.Queue) -> None:
        try:
            for item in chain(job(), [end]):
                put(items, item)
        except Exception as error:  # handed to whoever takes the items
            put(items, error)

    def put(items: queue.Queue, item: object) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return items.put(item, timeout=0.1)

    def take(items: queue.Queue) -> Iterator:
        while (item := items.get()) is not end:
            if isinstance(item, Exception):
                raise item
            yield item

    with ThreadPoolExecutor(num_workers) as executor:
        try:
            for job in jobs:
                waiting.append(queue.Queue(ITEMS_AHEAD))
                executor.submit(work, job, waiting[-1])
                if len(waiting) > num_workers:
                    yield take(waiting.popleft())
            while waiting:
                yield take(waiting.popleft())
        finally:
            stop.set()
