"""Put together what the doctor finds, as what JSON holds."""
import hashlib
import os
from collections import Counter
from statistics import mean, median

from mmaction.utils import register_all_modules
from mmengine.config import Config

from mmaction_centerclip.datasets import VideoTextRetrievalDataset

from .captions import check_captions, find_false_negatives, find_leaks
from .estimates import estimate
from .pool import run_jobs
from .splits import DataSplit, build_dataset, read_data_splits
from .videos import STATES, examine_video, key_of

__all__ = ['diagnose']

# What decoders that are not PyAV read, mostly: others are worth a word.
COMMON_CODECS = ('h264', 'hevc', 'mjpeg', 'mpeg1video', 'mpeg2video', 'mpeg4', 'vp8',
                 'vp9')

_BUILT: dict[str, VideoTextRetrievalDataset] = {}


def diagnose(cfg: Config, results_file: str, workers: int, measured: int = 3) -> dict:
    """Examine all videos and captions of a config.

    Args:
        cfg (Config): With its pipelines completed.
        results_file (str): Of what is known of single videos, so that a run
            that was stopped goes on.
        workers (int): Processes to read videos with.
        measured (int): Videos of each split to compress and to cache, to estimate
            what that would bring. Defaults to 3.

    Returns:
        dict: ``splits``, a list with what was found of each, and ``leaks``.

    Raises:
        InputError: If the config's data are not such as the doctor knows.
    """
    splits = read_data_splits(cfg)
    jobs, keys_of = {}, {}
    for split in splits:
        recipe = f'{split.options["pipeline"]} {split.dataset.captions}'
        recipe = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        clips = {(sample['filename'], sample.get('clip')): sample
                 for sample in split.samples}
        keys_of[split.name] = [key_of(sample, f'{split.name} {recipe}')
                               for sample in clips.values()]
        for key, sample in zip(keys_of[split.name], clips.values()):
            jobs[key] = split.options, sample
    results = dict(zip(jobs, run_jobs(_examine, jobs, results_file, workers)))
    return dict(
        splits=[_describe(split, [
            dict(results[key], file=jobs[key][1]['filename'],
                 clip=jobs[key][1].get('clip'))
            for key in keys_of[split.name]], workers, measured) for split in splits],
        leaks=find_leaks(splits), workers=workers, cores=os.cpu_count())


def _examine(job: tuple[dict, dict]) -> dict:
    """Examine a sample with its data set, which each process builds once."""
    options, sample = job
    name = repr(options)
    if name not in _BUILT:
        register_all_modules()
        _BUILT[name] = build_dataset(options)
    return examine_video(_BUILT[name], sample)


def _describe(split: DataSplit, videos: list[dict], workers: int,
              measured: int) -> dict:
    """Sum up the videos of a split, and check its captions."""
    states = Counter(video['state'] for video in videos)
    found = dict(
        name=split.name, same_as=split.same_as, ann_file=split.dataset.ann_file,
        videos=len(videos), present=len(videos) - states['missing'],
        states={state: states[state] for state in STATES},
        faults=[video for video in videos if video['state'] != 'ok'],
        codecs=dict(Counter(video['codec'] for video in videos
                            if 'codec' in video).most_common()),
        unusual=[dict(file=video['file'], codec=video['codec']) for video in videos
                 if video.get('codec', 'h264') not in COMMON_CODECS],
        figures=dict(
            {name: [video[name] for video in videos if video.get(name)]
             for name in ('duration', 'rate', 'frames')},
            size=[[video['width'], video['height']] for video in videos
                  if video.get('width') and video.get('height')]),
        shapes=_group_shapes(videos),
        captions=check_captions(split, workers), speed=_time_epoch(split, videos),
        estimates=estimate(split, videos, measured))
    if split.name.startswith('train'):
        found['false_negatives'] = find_false_negatives(split)
    return found


def _group_shapes(videos: list[dict]) -> list[dict]:
    """Count the shapes of samples, which must be one to make a batch."""
    first: dict[tuple, str] = {}
    counts = Counter()
    for video in videos:
        if 'shape' in video:
            first.setdefault(tuple(video['shape']), video['file'])
            counts[tuple(video['shape'])] += 1
    return [dict(shape=list(shape), videos=count, file=first[shape])
            for shape, count in counts.most_common()]


def _time_epoch(split: DataSplit, videos: list[dict]) -> dict | None:
    """Estimate how long the pipeline takes for all samples of a split."""
    seconds = [video['seconds'] for video in videos if 'seconds' in video]
    if not seconds:
        return None
    processes = max(1, min(split.num_workers, os.cpu_count() or 1))
    work = mean(seconds) * len(split.samples)
    return dict(
        samples=len(split.samples), seconds_per_sample=round(mean(seconds), 6),
        median_seconds=round(median(seconds), 6), num_workers=split.num_workers,
        hours_one_process=round(work / 3600, 6), processes=processes,
        hours_with_workers=round(work / processes / 3600, 6))
