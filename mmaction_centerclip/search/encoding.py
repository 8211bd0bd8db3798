"""Encode the segments of video files, decoding some files ahead."""
import hashlib
import os
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
from torch.nn import functional as F

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.apis.video_pipeline import OpenVideo, VideoPipeline
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.weights import hash_weights

from .records import Segments
from .windows import find_cuts, segment_frames, split_video

__all__ = ['SegmentEncoder', 'mean_vectors', 'model_hash', 'open_windows', 'run_ahead']

ITEMS_AHEAD = 4  # windows of a file that wait to be encoded


def model_hash(inferencer: VideoTextRetrievalInferencer) -> str:
    """Return a hash of a model's weights, settings and test pipeline."""
    model = inferencer.model
    settings = {name: value for name, value in model.cfg.model.to_dict().items()
                if name not in ('pretrained', 'video_pretrained')}
    digest = hashlib.sha256(f'{settings!r}{inferencer.pipeline.describe()}'.encode())
    hash_weights(digest, model)
    return digest.hexdigest()[:16]


def open_windows(pipeline: VideoPipeline, path: str, length: float, at_cuts: bool
                 ) -> tuple[OpenVideo, np.ndarray, list[tuple[int, int]]]:
    """Open a video, and split it into windows.

    Args:
        pipeline (VideoPipeline): The model's.
        path (str): The video.
        length (float): The longest window, in seconds.
        at_cuts (bool): Whether windows begin where shots do, too.

    Returns:
        tuple[OpenVideo, np.ndarray, list[tuple[int, int]]]: The video; when each
        frame starts and the last ends, in seconds; see :func:`split_video`.

    Raises:
        DecodingError: If it cannot be read.
    """
    video = pipeline.open(path)
    # All frames are decoded for that, and their times are known then.
    cuts = find_cuts(video.reader.decode_grey()) if at_cuts else None
    seconds = video.reader.get_seconds()
    return video, seconds, split_video(seconds, length, cuts)


class SegmentEncoder:
    """Turn a video file into a vector for each segment.

    A window is sampled as the model samples a whole video, and has as many
    segments as the model gives: those of its clustering, or its frames.

    Of a head that compares pairs, which reads all segments of a window
    together, each window is one row: the vector is the segments' mean, as
    :class:`MeanPoolingHead` has it, and their features are kept beside it.

    Args:
        inferencer (VideoTextRetrievalInferencer): The model.
        window (float): The longest window, in seconds.
        at_cuts (bool): Whether windows begin where shots do, for which all
            frames are decoded.
        batch_size (int): Windows to encode at a time.
    """

    def __init__(self, inferencer: VideoTextRetrievalInferencer, window: float,
                 at_cuts: bool, batch_size: int) -> None:
        self.inferencer = inferencer
        self.window, self.at_cuts, self.batch_size = window, at_cuts, batch_size

    def decode(self, path: str) -> Iterator[tuple[np.ndarray, int, int, dict] | None]:
        """Yield the windows of a file: times, first frame, end and sample.

        Where the frames prove to be others than its packets said, None, and then
        all windows again.

        Raises:
            DecodingError: If it cannot be read.
        """
        pipeline = self.inferencer.pipeline
        video, seconds, windows = open_windows(
            pipeline, path, self.window, self.at_cuts)
        while True:
            try:
                for first, end in windows:
                    yield seconds, first, end, pipeline.prepare(video, first, end)
                video.reader.finish()
            except DecodingError:
                if len(video.reader) == len(seconds) - 1:
                    raise  # else there are fewer frames than were asked for
            said, seconds = seconds, video.reader.get_seconds()
            if np.array_equal(said, seconds):
                return
            windows = split_video(seconds, self.window)
            yield None

    @torch.no_grad()
    def encode(self, windows: Iterator[tuple[np.ndarray, int, int, dict] | None]
               ) -> Segments:
        """Encode the windows of one file, from :meth:`decode`.

        Raises:
            DecodingError: If the file cannot be read.
            InputError: If a feature is not finite.
        """
        times, vectors, kept = [], [], []
        separable = self.inferencer.model.head.separable
        while batch := list(islice(windows, self.batch_size)):
            if None in batch:
                times, vectors, kept = [], [], []
                batch = batch[batch.index(None) + 1:]
                if not batch:
                    continue
            segments, masks, starts = self._segments([sample for *_, sample in batch])
            for (seconds, first, end, sample), own, mask, begins in zip(
                    batch, segments, masks, starts):
                count = int(mask.sum()) or len(mask)  # padding comes last
                own = own[:count]
                if not separable:
                    times.append((seconds[first], seconds[end]))
                    vectors.append(self._vectors(own[None])[0])
                    kept.append(_half(own))
                    continue
                sampled = sample['data_samples'].frame_inds
                for (start, stop), vector in zip(
                        segment_frames(sampled, begins[:count], first, end),
                        self._vectors(own[:, None])):
                    if start < stop:  # else its frames are those of the next
                        times.append((seconds[start], seconds[stop]))
                        vectors.append(vector)
        times = np.array(times, np.float64).reshape(-1, 2)
        return Segments(times[:, 0], times[:, 1], _half(torch.stack(vectors)),
                        None if separable else kept)

    @torch.no_grad()
    def encode_query(self, query: str | os.PathLike | np.ndarray) -> np.ndarray:
        """Return what rows are compared with, float32 (E, ), of unit length.

        Args:
            query (str | os.PathLike | np.ndarray): See :meth:`VideoIndex.search`.

        Raises:
            InputError: If a clip cannot be read, or is a folder.
        """
        model, pipeline = self.inferencer.model, self.inferencer.pipeline
        if isinstance(query, os.PathLike) and os.path.isdir(query):
            raise InputError(f'{query}: expected a video or a picture, got a folder')
        if model.head.separable and isinstance(query, str):
            return self.inferencer.encode_texts(query).features['text'][0].numpy()
        if model.head.separable:
            return self.inferencer.encode_videos(query).features['video'][0].numpy()
        if isinstance(query, str):
            ids, _ = pipeline.tokenize([query])
            device = model.head.logit_scale.device
            sentence = model.text_backbone(ids.to(device)).sentence.float()
            return F.normalize(sentence, dim=-1)[0].cpu().numpy()
        try:
            sample = pipeline.prepare(pipeline.open(query))
        except DecodingError as error:
            raise InputError(f'{query}: {error.reason}') from error
        segments, mask, _ = self._segments([sample])
        return self._vectors(segments[:, :int(mask.sum()) or None])[0].numpy()

    def _segments(self, samples: list[dict]
                  ) -> tuple[Tensor, Tensor, list[list[int]]]:
        """Return segments (B, S, E), their mask (B, S), and each one's first frame."""
        model = self.inferencer.model
        data = model.data_preprocessor(pseudo_collate(samples), False)
        model.check_resizing({sample.resizing for sample in data['data_samples']})
        segments, mask, starts = model.encode_segments(data['inputs'])
        if starts is None:  # As many frames each.
            frames, count = data['inputs']['imgs'].shape[1], mask.shape[1]
            if frames % count:
                raise InputError(f'{frames} sampled frames are not {count} segments of '
                                 'equally many')
            starts = torch.arange(0, frames, frames // count).expand_as(mask)
        return model.project(segments).float(), mask.cpu(), starts.tolist()

    def _vectors(self, segments: Tensor) -> Tensor:
        """Return a vector (B, E) of videos of whole segments (B, S, E)."""
        head = self.inferencer.model.head
        mask = torch.ones(segments.shape[:2], dtype=torch.bool, device=segments.device)
        if head.separable:
            return head.video_features(segments, mask)['video'].float().cpu()
        return mean_vectors(segments).cpu()


def mean_vectors(segments: Tensor) -> Tensor:
    """Return the mean (B, E), of unit length, of segments (B, S, E), likewise."""
    return F.normalize(F.normalize(segments, dim=-1).mean(dim=1), dim=-1)


def _half(x: Tensor) -> np.ndarray:
    stored = x.cpu().numpy().astype(np.float16)
    if not np.isfinite(stored).all():
        raise InputError('the model gives features that are not finite in float16')
    return stored


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
