#!/usr/bin/env python
"""Count the multiply-adds of a config's towers, attention included."""
import argparse

from mmaction_centerclip import cli


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__)
    parser.add_argument('config', nargs='+', help='of retrievers and recognisers')
    parser.add_argument(
        '--num-frames', type=cli.positive_int,
        help='frames of a video; default: those that the test pipeline samples, of a '
        'recogniser in a clip')
    cli.add_figures_out(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch
from mmengine.config import Config

import mmaction_centerclip.benchmarking as bench
from mmaction_centerclip.engine import launching


def count(cfg: Config, num_frames: int | None) -> dict:
    """Count GMACs of a video, and of a retriever's caption, and parameters."""
    model = bench.build_model(cfg)
    frames = num_frames or bench.clip_frames(cfg)
    imgs = torch.randn(1, frames, 3, *bench.frame_size(cfg, model))
    macs = bench.count_macs(bench.encoding(model, dict(imgs=imgs)))
    row = dict(frames=frames, video_gmacs=macs / 1e9)
    if text := getattr(model, 'text_backbone', None):
        ids = torch.ones(1, text.context_length, dtype=torch.long)
        row['text_gmacs'] = bench.count_macs(lambda: text(ids)) / 1e9
    return dict(row, params_m=sum(p.numel() for p in model.parameters()) / 1e6)


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    rows = {}
    cli.check_outputs(args.out)
    for path in args.config:
        row = rows[path] = count(launching.read_config(path), args.num_frames)
        text = (f'{row["text_gmacs"]:.2f} GMACs a caption, '
                if 'text_gmacs' in row else '')
        print(f'{path}: {row["video_gmacs"]:.2f} GMACs a video of {row["frames"]} '
              f'frames, {text}{row["params_m"]:.1f} M parameters')
    cli.write_json(rows, args.out)


if __name__ == '__main__':
    main(ARGS)
