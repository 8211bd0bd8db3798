"""Collect what the doctor finds in a dict of what JSON holds."""
import hashlib
import json
import os.path as osp
from collections import Counter
from collections.abc import Callable
from statistics import median

from mmaction.datasets.base import BaseActionDataset
from mmaction.utils import register_all_modules
from mmengine.config import Config

from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.parallel import ProcessDied, run_each
from mmaction_centerclip.utils.progress import track

from .splits import (
    DataSplit,
    build_dataset,
    check_captions,
    clip_of,
    find_false_negatives,
    find_leaks,
    find_repeated,
    read_data_splits,
)
from .videos import STATES, examine_video, key_of

# What decoders that are not PyAV read, mostly: others are worth a word.
COMMON_CODECS = ('h264', 'hevc', 'mjpeg', 'mpeg1video', 'mpeg2video', 'mpeg4', 'vp8',
                 'vp9')

_BUILT: dict[str, BaseActionDataset] = {}


def diagnose(cfg: Config, results_file: str, workers: int) -> dict:
    """Examine all videos and captions of a config, whose pipelines are complete.

    What is known of single videos is in ``results_file``, so that a run that was
    stopped goes on. Returned are ``splits``, what was found of each, ``leaks`` and
    ``workers``.
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


def run_jobs(function: Callable, jobs: dict[str, object], path: str,
             workers: int) -> list[dict]:
    """Do jobs that are not in the file of results yet, and add them to it.

    What a job raises ends the run: it is no file's fault. One that ends its process has
    the result of a video that cannot be read. ``jobs`` are by their names; the file has
    a line each, of which a last one that is not whole is dropped.
    """
    done = _read_results(path)
    # Whole again, so that the next line begins where a line should.
    write_text(''.join(_line(key, result) for key, result in done.items()), path)
    waiting = [(key, function, job) for key, job in jobs.items() if key not in done]
    if waiting:
        print('Reading videos')
        with open(path, 'a', encoding='utf-8') as file:
            for (key, *_), result in track(
                    run_each(_call, waiting, workers), len(waiting)):
                if isinstance(result, ProcessDied):
                    result = dict(state='unreadable', reason='a decoder crashes on it')
                elif isinstance(result, Exception):
                    raise result
                done[key] = result
                file.write(_line(key, result))
                file.flush()
    return [done[key] for key in jobs]


def _call(item: tuple[str, Callable, object]) -> dict:
    _, function, job = item
    return function(job)


def _line(key: str, result: dict) -> str:
    return json.dumps(dict(key=key, result=result)) + '\n'


def _read_results(path: str) -> dict[str, dict]:
    done: dict[str, dict] = {}
    if osp.isfile(path):
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    done[entry['key']] = dict(entry['result'])
                except (KeyError, TypeError, ValueError):
                    continue  # A run was killed while it wrote.
    return done


def _examine(job: tuple[dict, dict]) -> dict:
    """Examine a sample with its data set, which each process builds once."""
    options, sample = job
    name = repr(options)
    if name not in _BUILT:
        register_all_modules()
        _BUILT[name] = build_dataset(options)
    return examine_video(_BUILT[name], sample)


def _describe(split: DataSplit, videos: list[dict]) -> dict:
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
