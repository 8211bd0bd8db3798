#!/usr/bin/env python
"""Store the frames that a config's data sets may draw in a frame cache.

Where the sampling draws at random, as in training, these are all frames of a
video, or of its clips; else those that it takes. What is there is skipped. The
config reads them with the same cache: dict(type='VideoInit', cache=...).
"""
import argparse
import os.path as osp

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, config_errors, printable
from mmaction_centerclip.utils.progress import track

FRAMES_AT_A_TIME = 256  # of a clip, decoded ones being held
BUILT: dict[str, list] = {}
"""The pipelines of this process, by their configs."""


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('--cache', help="file; by default the one of the config")
    parser.add_argument('--codec', choices=['jpeg', 'raw'])
    parser.add_argument('--quality', type=cli.positive_int, help='of JPEG')
    parser.add_argument('--max-gib', type=float, help='how large it may become')
    parser.add_argument('--splits', nargs='+', choices=['train', 'val', 'test'],
                        default=['train', 'val', 'test'])
    parser.add_argument('--every-frame', action='store_true',
                        help='all frames, also where the sampling takes certain ones')
    cli.add_num_workers(parser)
    cli.add_cfg_options(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmaction_centerclip.datasets.caching.frame_store import FrameStore
from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.shown_frames import narrow_to_clip
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.utils.parallel import run_each
from mmaction_centerclip.utils.pipelines import find_datasets, step_type
from mmaction_centerclip.utils.tables import format_bytes


def set_cache(cfg: Config, args: argparse.Namespace) -> None:
    """Put the cache of the command line into the config's pipelines."""
    options = dict(path=args.cache, codec=args.codec, quality=args.quality,
                   max_gib=args.max_gib)
    for split in args.splits:
        for dataset in find_datasets(cfg.get(f'{split}_dataloader')):
            for step in dataset.pipeline:
                if step_type(step) == 'VideoInit':
                    cache = step.get('cache') or {}
                    cache = cache if isinstance(cache, dict) else dict(path=cache)
                    given = {k: v for k, v in options.items() if v is not None}
                    step.cache = dict(cache, **given)


def jobs_of(cfg: Config, args: argparse.Namespace) -> list[tuple]:
    """List what to do: the steps to run, a video, and its clip or None."""
    jobs = {}
    for split in args.splits:
        for dataset in find_datasets(cfg.get(f'{split}_dataloader')):
            steps = _steps_to_decoding(dataset.pipeline, split)
            path = steps[0]['cache'].get('path')
            if not path:
                raise InputError('--cache names the file, where the config does not')
            if args.every_frame or not any(
                    step.get('test_mode') or step.get('frames_per_second')
                    for step in steps[1:]):
                steps = steps[:1]
            with config_errors(f'{split}_dataloader'):
                built = DATASETS.build(dict(dataset, pipeline=steps))
            for index in range(len(built)):
                info = built.get_data_info(index)
                clip = None if args.every_frame else info.get('clip')
                job = steps, info['filename'], clip
                jobs[repr(job)] = job
    return list(jobs.values())


def _steps_to_decoding(pipeline: list[dict], split: str) -> list[dict]:
    kinds = [step_type(step) for step in pipeline]
    if kinds[0] != 'VideoInit' or 'VideoDecode' not in kinds:
        raise InputError(f'{split}_dataloader: expected a pipeline from VideoInit to '
                         f'VideoDecode, got {kinds}')
    steps = [dict(step) for step in pipeline[:kinds.index('VideoDecode') + 1]]
    steps[0]['cache'] = dict(steps[0]['cache'], add='drawn')
    return steps


def cache_video(job: tuple) -> tuple[int, int]:
    """Store a video's frames; how many of how many wanted are there then."""
    configs, name, clip = job
    key = repr(configs)
    if key not in BUILT:
        BUILT[key] = [TRANSFORMS.build(config) for config in configs]
    steps = BUILT[key]
    store = steps[0].cache.store
    results = dict(filename=name, start_index=0, modality='RGB')
    with decoding_errors(name):
        results = steps[0](results)
        video = results['video_reader']
        if clip:
            narrow_to_clip(results, *clip)
        if len(steps) == 1 and clip:
            first = results['start_index']
            wanted = set(range(first, first + results['total_frames']))
            missing = sorted(wanted - video.stored())
            for start in range(0, len(missing), FRAMES_AT_A_TIME):
                video.get_batch(missing[start:start + FRAMES_AT_A_TIME])
        elif len(steps) == 1:
            video.fill()
            wanted = set(range(len(video)))
        else:
            for step in steps[1:]:
                results = step(results)
            wanted = set(results['frame_inds'].ravel().tolist())
        store.check()  # Else reading goes on without what cannot be written.
        return len(wanted & video.stored()), len(wanted)


def main(args: argparse.Namespace) -> None:
    cfg = launching.read_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    set_cache(cfg, args)
    prepare_config(cfg)
    jobs = jobs_of(cfg, args)
    failed, cached, stored, wanted = {}, set(), 0, 0
    for job, result in track(run_each(cache_video, jobs, args.num_workers), len(jobs)):
        if isinstance(result, InputError):
            raise result  # of the cache, such as a full disk
        if isinstance(result, Exception):
            failed[job[1]] = str(result) or type(result).__name__
            print(f'\n{printable(failed[job[1]])}')
            continue
        cached.add(job[1])
        stored, wanted = stored + result[0], wanted + result[1]
    print(f'{stored} of {wanted} frames of {len(cached)} videos are cached.')
    for path in sorted({job[0][0]['cache']['path'] for job in jobs}):
        if osp.exists(path):
            print(f'{path}: {format_bytes(FrameStore(path).size())}')
    if failed:
        videos = len({job[1] for job in jobs})
        raise InputError(f'{len(failed)} of {videos} videos were not cached, the '
                         f'first being {next(iter(failed.values()))}')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main(ARGS)
