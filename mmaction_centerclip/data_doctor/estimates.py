"""Estimate what compressing or caching would make of an epoch and of the disk."""
import copy
import os.path as osp
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

from mmengine.config import Config

from mmaction_centerclip.config_checks import step_type
from mmaction_centerclip.config_completion import complete_config
from mmaction_centerclip.datasets import VideoTextRetrievalDataset
from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.datasets.transforms import FrameCache, VideoReader

from .splits import DataSplit, build_dataset

__all__ = ['estimate']

TURNS = 3
COMPRESSIONS = {
    'compressed, 3 frames a second': Compression(),
    'compressed, all-intra, all frames': Compression(fps=0, all_intra=True)}
CODECS = {'frame cache, jpeg': 'jpeg', 'frame cache, raw': 'raw'}


def estimate(split: DataSplit, videos: list[dict], count: int) -> list[dict]:
    """Compress and cache a few videos of a split, and time its pipeline on them.

    Args:
        split (DataSplit): The split.
        videos (list[dict]): What is known of each, see :func:`examine_video`, with
            its ``file``.
        count (int): How many videos to measure, of all lengths; 0 for none.

    Returns:
        list[dict]: For the videos as they are and each way to prepare them:
        ``way``; ``seconds_per_sample``, the mean of what one process took, other
        processes idle; ``hours_one_process`` of an epoch; and ``gib``, what all
        videos of the split would take on the disk. Empty where no such pipeline
        or video is there.
    """
    pipeline = split.options['pipeline']
    kinds = [step_type(step) for step in pipeline]
    fit = {video['file']: video for video in videos
           if video['state'] == 'ok' and video.get('frames') and video.get('size')}
    if not count or not fit or 'VideoDecode' not in kinds or kinds[
            0] != 'VideoInit':
        return []
    by_length = sorted(fit, key=lambda name: fit[name]['frames'])
    count = min(count, len(by_length))
    chosen = [by_length[(2 * i + 1) * len(by_length) // (2 * count)]
              for i in range(count)]
    found = {}
    with TemporaryDirectory() as folder:
        total = sum(video['size'] for video in fit.values())
        steps = [dict(pipeline[0], cache=None), *pipeline[1:]]
        found['as they are'] = _time(split, steps, {x: x for x in chosen}), total
        for way, options in COMPRESSIONS.items():
            files = {name: osp.join(folder, f'{way} {i}.mp4')
                     for i, name in enumerate(chosen)}
            for source, target in files.items():
                compress_video(source, target, options)
            share = sum(map(osp.getsize, files.values())) / sum(
                fit[name]['size'] for name in chosen)
            found[way] = _time(split, steps, files), share * total
        for way, codec in CODECS.items():
            path = osp.join(folder, f'{codec}.db')
            cached = _with_cache(pipeline, dict(path=path, codec=codec))
            frame_bytes = _fill(cached[0]['cache'], chosen)
            found[way] = (_time(split, cached, {x: x for x in chosen}),
                          frame_bytes * _count_frames(pipeline, fit.values()))
    return [dict(way=way, seconds_per_sample=round(seconds, 6),
                 hours_one_process=round(seconds * len(split.samples) / 3600, 6),
                 gib=round(size / 2**30, 6)) for way, (seconds, size) in found.items()]


def _with_cache(pipeline: list[dict], cache: dict) -> list[dict]:
    """Give a pipeline a frame cache, and tell that how frames are resized."""
    steps = [dict(pipeline[0], cache=cache), *pipeline[1:]]
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=steps))))
    complete_config(cfg)
    return cfg.to_dict()['train_dataloader']['dataset']['pipeline']


def _fill(cache: dict, names: list[str]) -> float:
    """Cache all frames of videos; the bytes of one on average."""
    frames = FrameCache(**cache)
    for name in names:
        frames.open(name, lambda name=name: VideoReader(name)).fill()
    with closing(sqlite3.connect(f'{Path(cache["path"]).as_uri()}?mode=ro',
                                 uri=True)) as file:
        return file.execute('SELECT AVG(LENGTH(data)) FROM frames').fetchone()[0]


def _count_frames(pipeline: list[dict], videos: list[dict]) -> int:
    """Count the frames to cache: all where the sampling may draw any."""
    is_fixed = any(step.get('test_mode') or step.get('frames_per_second')
                   for step in pipeline)
    return sum(min(video['frames'], video.get('wanted', video['frames']))
               if is_fixed else video['frames'] for video in videos)


def _time(split: DataSplit, pipeline: list[dict], files: dict[str, str]) -> float:
    """Return the mean seconds of a pipeline, on files in place of others."""
    dataset: VideoTextRetrievalDataset = build_dataset(
        dict(split.options, pipeline=pipeline))
    samples = {sample['filename']: sample for sample in split.samples}
    seconds = []
    for name, file in files.items():
        turns = []
        for _ in range(TURNS + 1):
            info = dict(copy.deepcopy(samples[name]), filename=file, sample_idx=0,
                        modality=dataset.modality, start_index=dataset.start_index)
            start = time.perf_counter()
            dataset.run_pipeline(info, dict(filename=file))
            turns.append(time.perf_counter() - start)
        seconds.append(median(turns[1:]))  # after one that finds nothing ready
    return mean(seconds)
