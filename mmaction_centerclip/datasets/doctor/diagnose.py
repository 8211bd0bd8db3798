"""Collect what the doctor finds in a dict of what JSON holds."""
import hashlib
from collections import Counter
from statistics import median

from mmaction.datasets.base import BaseActionDataset
from mmaction.utils import register_all_modules
from mmengine.config import Config

from .captions import check_captions, find_false_negatives, find_leaks, find_repeated
from .results import run_jobs
from .splits import DataSplit, build_dataset, clip_of, read_data_splits
from .videos import STATES, examine_video, key_of

__all__ = ['diagnose']

# What decoders that are not PyAV read, mostly: others are worth a word.
COMMON_CODECS = ('h264', 'hevc', 'mjpeg', 'mpeg1video', 'mpeg2video', 'mpeg4', 'vp8',
                 'vp9')

_BUILT: dict[str, BaseActionDataset] = {}


def diagnose(cfg: Config, results_file: str, workers: int) -> dict:
    """Examine all videos and captions of a config.

    Args:
        cfg (Config): With its pipelines completed.
        results_file (str): Of what is known of single videos, so that a run
            that was stopped goes on.
        workers (int): Processes to read videos with.

    Returns:
        dict: ``splits``, a list with what was found of each, and ``leaks``.
    """
    splits = read_data_splits(cfg)
    jobs, keys_of = {}, {}
    for split in splits:
        captions = getattr(split.dataset, 'captions', '')
        recipe = f'{split.options["pipeline"]} {captions}'
        recipe = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        clips = {clip_of(sample): sample for sample in split.samples}
        keys_of[split.name] = [key_of(sample, f'{split.name} {recipe}')
                               for sample in clips.values()]
        for key, sample in zip(keys_of[split.name], clips.values()):
            jobs[key] = split.options, sample
    results = dict(zip(jobs, run_jobs(_examine, jobs, results_file, workers)))
    return dict(
        splits=[_describe(split, [
            dict(results[key], file=jobs[key][1]['filename'],
                 clip=jobs[key][1].get('clip'))
            for key in keys_of[split.name]]) for split in splits],
        leaks=find_leaks(splits), workers=workers)


def _examine(job: tuple[dict, dict]) -> dict:
    """Examine a sample with its data set, which each process builds once."""
    options, sample = job
    name = repr(options)
    if name not in _BUILT:
        register_all_modules()
        _BUILT[name] = build_dataset(options)
    return examine_video(_BUILT[name], sample)


def _describe(split: DataSplit, videos: list[dict]) -> dict:
    """Sum up the videos of a split, and check its captions."""
    states = Counter(video['state'] for video in videos)
    seconds = [video['seconds'] for video in videos if 'seconds' in video]
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
        shapes=_group_shapes(videos), repeated=find_repeated(split),
        captions=check_captions(split),
        seconds_per_sample=round(median(seconds), 6) if seconds else None)
    if split.name.startswith('train') and split.entries is not None:
        found['false_negatives'] = find_false_negatives(split)
    return found


def _group_shapes(videos: list[dict]) -> list[dict]:
    """Count the shapes of samples, which must be one to make a batch."""
    files: dict[tuple, list[str]] = {}
    for video in videos:
        if 'shape' in video:
            files.setdefault(tuple(video['shape']), []).append(video['file'])
    return [dict(shape=list(shape), videos=len(names), file=names[0])
            for shape, names in sorted(files.items(), key=lambda item: -len(item[1]))]
