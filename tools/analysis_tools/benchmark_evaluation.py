#!/usr/bin/env python
"""Time an evaluation with many captions per video beside MMAction2's.

The same videos and captions through MMAction2's CLIP4Clip config and through
ours, each by its own test loop, ViT-B/32 with random weights. MMAction2's loop
decodes and encodes a video for each of its captions. Needs openai-clip.
"""
import argparse
import json
import tempfile
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config

from mmaction_centerclip.benchmarking import (
    MMACTION2_CONFIG,
    describe_machine,
    random_openai_clip,
    video_files,
)
from mmaction_centerclip.cli import (
    build_runner,
    check_outputs,
    exit_on_input_error,
    positive_int,
    read_config,
    write_json,
)
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.tables import format_table

OURS = (Path(__file__).resolve().parents[2] / 'configs' / 'retrieval' / 'clip4clip'
        / 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', help='folder of video files')
    parser.add_argument(
        '--captions', type=positive_int, default=40, help='captions of each video')
    parser.add_argument(
        '--config', default=str(OURS), help='our config, of any neck and head')
    parser.add_argument(
        '--num-workers', type=int, default=0, help='of both data loaders')
    parser.add_argument('--json', metavar='OUT', help='write the figures here')
    return parser.parse_args()


def annotate(videos: Path, captions: int, out: Path) -> int:
    """Write made-up captions of the videos, and return how many videos."""
    names = [path.name for path in video_files(videos)]
    out.write_text(json.dumps({name: [f'caption {i} of video {v}'
                                      for i in range(captions)]
                               for v, name in enumerate(names)}))
    return len(names)


def time_test(cfg: Config, videos: Path, annotations: Path, num_workers: int) -> float:
    """Return the seconds of a whole test, without those of building the model."""
    loader = cfg.test_dataloader
    loader.update(num_workers=num_workers, persistent_workers=num_workers > 0)
    loader.dataset.update(data_root='', ann_file=str(annotations),
                          data_prefix=dict(video=str(videos)))
    cfg.update(work_dir=str(annotations.parent), launcher='none', log_level='WARNING')
    cfg.model.pop('pretrained', None)
    runner = build_runner(cfg)
    start = time.perf_counter()
    runner.test()
    return time.perf_counter() - start


def main() -> None:
    args = parse_args()
    videos, seconds = Path(args.videos).resolve(), {}
    with tempfile.TemporaryDirectory() as folder, exit_on_input_error():
        check_outputs(args.json)
        annotations = Path(folder) / 'test.json'
        count = annotate(videos, args.captions, annotations)
        with random_openai_clip():
            seconds['mmaction2'] = time_test(
                get_config(MMACTION2_CONFIG), videos, annotations, args.num_workers)
        seconds['ours'] = time_test(
            read_config(args.config), videos, annotations, args.num_workers)
    speeds = {name: count * args.captions / x for name, x in seconds.items()}
    ratio = seconds['mmaction2'] / seconds['ours']
    print(f'{count} videos, {args.captions} captions each, {describe_machine()}')
    print(format_table(['evaluation', 'seconds', 'captions/s'], [
        [name, f'{x:.1f}', f'{speeds[name]:.2f}'] for name, x in seconds.items()]))
    print(f'ratio: {ratio:.1f}')
    row = dict(videos=count, captions=args.captions, ratio=ratio)
    for name, x in seconds.items():
        row.update({f'{name}/seconds': x, f'{name}/captions_per_s': speeds[name]})
    with exit_on_input_error():
        write_json(row, args.json)


if __name__ == '__main__':
    main()
