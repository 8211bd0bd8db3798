#!/usr/bin/env python
"""Time an evaluation with many captions per video beside the stock zoo's.

The same videos and captions through MMAction2's CLIP4Clip config and through
ours, each by its own test loop, ViT-B/32 with random weights. The zoo's loop
decodes and encodes a video for each of its captions. Needs openai-clip.
"""
import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.runner import Runner

import mmaction_centerclip  # noqa: F401
from mmaction_centerclip.apis import (
    check_outputs,
    clear_errors,
    positive,
    read_config,
)
from mmaction_centerclip.apis.benchmark import (
    STOCK_CONFIG,
    stock_weights,
    video_files,
)

ROOT = Path(__file__).resolve().parents[2]
OURS = (ROOT / 'configs' / 'retrieval' / 'clip4clip' /
        'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', help='folder of video files')
    parser.add_argument(
        '--captions', type=positive, default=40, help='captions of each video')
    parser.add_argument(
        '--config', default=str(OURS), help='our config, of any neck and head')
    parser.add_argument(
        '--num-workers', type=int, default=0, help='of both data loaders')
    parser.add_argument('--json', metavar='OUT', help='write the figures here')
    return parser.parse_args()


def annotate(videos: Path, captions: int, out: Path) -> int:
    """Write an annotation file of made-up captions; how many videos."""
    names = [path.name for path in video_files(videos)]
    out.write_text(json.dumps({
        name: [f'caption {i} of video {v}' for i in range(captions)]
        for v, name in enumerate(names)
    }))
    return len(names)


def time_test(cfg: Config, videos: Path, annotations: Path, work_dir: str,
              num_workers: int) -> float:
    """Seconds of a whole test, without building the model."""
    loader = cfg.test_dataloader
    loader.update(num_workers=num_workers, persistent_workers=num_workers > 0)
    loader.dataset.update(
        data_root='', ann_file=str(annotations),
        data_prefix=dict(video=str(videos)))
    cfg.update(work_dir=work_dir, launcher='none', log_level='WARNING')
    cfg.model.pop('pretrained', None)
    runner = Runner.from_cfg(cfg)
    start = time.perf_counter()
    runner.test()
    return time.perf_counter() - start


def main() -> None:
    args = parse_args()
    videos = Path(args.videos).resolve()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder, clear_errors():
        check_outputs(args.json)
        annotations = Path(folder) / 'test.json'
        count = annotate(videos, args.captions, annotations)
        with stock_weights():
            seconds['stock'] = time_test(
                get_config(STOCK_CONFIG), videos, annotations, folder,
                args.num_workers)
        seconds['ours'] = time_test(
            read_config(args.config), videos, annotations, folder,
            args.num_workers)
    pairs = count * args.captions
    row = {f'{name}/seconds': value for name, value in seconds.items()}
    row.update({f'{name}/captions_per_s': pairs / value
                for name, value in seconds.items()})
    row.update(videos=count, captions=args.captions,
               ratio=seconds['stock'] / seconds['ours'])
    device = (torch.cuda.get_device_name()
              if torch.cuda.is_available() else 'cpu')
    print(f'{count} videos, {args.captions} captions each, {device}, '
          f'{torch.get_num_threads()} CPU threads, torch {torch.__version__}')
    for name, value in seconds.items():
        print(f'{name:>6}: {value:8.1f} s, {pairs / value:8.2f} captions/s')
    print(f' ratio: {row["ratio"]:8.1f}')
    if args.json:
        Path(args.json).write_text(json.dumps(row, indent=1))


if __name__ == '__main__':
    main()
