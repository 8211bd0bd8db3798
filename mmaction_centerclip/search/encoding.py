"""Encode the segments of video files, decoding some files ahead."""
import hashlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.errors import InputError

from .store import Segments
from .windows import find_cuts, segment_frames, split_video

__all__ = ['SegmentEncoder', 'model_hash', 'run_ahead']

ITEMS_AHEAD = 4  # windows of a file that wait to be encoded


def model_hash(inferencer: VideoTextRetrievalInferencer) -> str:
    """Return a hash of a model's weights, settings and test pipeline."""
    model = inferencer.model
    settings = {name: value for name, value in model.cfg.model.to_dict().items()
                if name not in ('pretrained', 'video_pretrained')}
    digest = hashlib.sha256(f'{settings!r}{inferencer.pipeline.describe()}'.encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(
            torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


class SegmentEncoder:
    """Turn a video file into a vector for each segment.

    A window is sampled as the model samples a whole video, and has as many
    segments as the model gives: those of its clustering, or its frames.

    Args:
        inferencer (VideoTextRetrievalInferencer): Of a separable head.
        window (float): The longest window, in seconds.
        at_cuts (bool): Whether windows begin where shots do, for which all
            frames are decoded.
        batch_size (int): Windows to encode at a time.

    Raises:
        InputError: If the head is not separable.
    """

    def __init__(self, inferencer: VideoTextRetrievalInferencer, window: float,
                 at_cuts: bool, batch_size: int) -> None:
        head = inferencer.model.head
        if not head.separable:
            raise InputError(
                f'{type(head).__name__} compares pairs, so that a video is no vector '
                'that an index can hold; index with MeanPoolingHead, or rank with '
                'VideoTextRetrievalInferencer')
        self.inferencer = inferencer
        self.window, self.at_cuts, self.batch_size = window, at_cuts, batch_size

    def decode(self, path: str) -> Iterator[tuple[np.ndarray, int, int, dict]]:
        """Yield the windows of a file: times, first frame, end and sample.

        Raises:
            DecodingError: If it cannot be read.
        """
        pipeline = self.inferencer.pipeline
        video = pipeline.open(path)
        seconds = video.reader.get_seconds()
        cuts = find_cuts(video.reader.decode_grey()) if self.at_cuts else None
        for first, end in split_video(seconds, self.window, cuts):
            yield seconds, first, end, pipeline.prepare(video, first, end)

    @torch.no_grad()
    def encode(self, windows: Iterator[tuple[np.ndarray, int, int, dict]]) -> Segments:
        """Encode the windows of one file, from :meth:`decode`.

        Raises:
            DecodingError: If the file cannot be read.
            InputError: If a feature is not finite.
        """
        times, vectors = [], []
        while batch := list(islice(windows, self.batch_size)):
            features, masks = self._features([sample for *_, sample in batch])
            for (seconds, first, end, sample), own, mask in zip(
                    batch, features, masks):
                count = int(mask.sum()) or len(mask)  # padding comes last
                sampled = sample['data_samples'].frame_inds
                if len(sampled) % len(mask):
                    raise InputError(f'{len(sampled)} sampled frames are not '
                                     f'{len(mask)} segments of equally many')
                sampled = sampled[:len(sampled) // len(mask) * count]
                for (start, stop), vector in zip(
                        segment_frames(sampled, count, first, end), own):
                    if start < stop:  # else its frames are those of the next
                        times.append((seconds[start], seconds[stop]))
                        vectors.append(vector)
        times = np.array(times, np.float64).reshape(-1, 2)
        stored = torch.stack(vectors).numpy().astype(np.float16)
        if not np.isfinite(stored).all():
            raise InputError('the model gives features that are not finite in float16')
        return Segments(times[:, 0], times[:, 1], stored)

    def _features(self, samples: list[dict]) -> tuple[Tensor, Tensor]:
        """Return the features (B, S, E) of segments, and their mask (B, S)."""
        model = self.inferencer.model
        data = model.data_preprocessor(pseudo_collate(samples), False)
        model.check_resizing({sample.resizing for sample in data['data_samples']})
        segments, mask = model.encode_video(data['inputs'])
        # A segment alone, as if it were a video of one.
        alone = model.head.video_features(
            segments.flatten(0, 1)[:, None], mask.flatten()[:, None])['video']
        return alone.unflatten(0, mask.shape).float().cpu(), mask.cpu()


def run_ahead(jobs: Iterator[Callable[[], Iterator]],
              num_workers: int) -> Iterator[Iterator]:
    """Run iterators in threads, and give their items in the order of the jobs.

    Args:
        jobs (Iterator[Callable[[], Iterator]]): Each makes one iterator.
        num_workers (int): Threads, and jobs that are begun ahead.

    Yields:
        Iterator: The items of one job, which raises what that raises.
    """
    stop, waiting = threading.Event(), deque()

    def work(job: Callable[[], Iterator], items: queue.Queue) -> None:
        try:
            for item in job():
                put(items, (item, None))
            put(items, (None, StopIteration()))
        except Exception as error:  # handed to whoever takes the items
            put(items, (None, error))

    def put(items: queue.Queue, item: tuple) -> None:
        while not stop.is_set():
            try:
                return items.put(item, timeout=0.1)
            except queue.Full:
                continue

    def take(items: queue.Queue) -> Iterator:
        while True:
            item, error = items.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
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
