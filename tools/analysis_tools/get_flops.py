#!/usr/bin/env python
"""Count the multiply-adds of a config's towers, attention included."""
import argparse

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401

# isort: split
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import (
    build_model,
    clip_frames,
    count_macs,
    encoding,
    frame_size,
)
from mmaction_centerclip.cli import (
    check_outputs,
    exit_on_input_error,
    positive_int,
    read_config,
    write_json,
)
from mmaction_centerclip.utils.homes import ToolParser


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', nargs='+', help='of retrievers and recognisers')
    parser.add_argument(
        '--num-frames', type=positive_int,
        help='frames of a video; default: those that the test pipeline samples, of a '
        'recogniser in a clip')
    parser.add_argument('--json', metavar='OUT', help='write the figures here')
    return parser.parse_args()


def count(cfg: Config, num_frames: int | None) -> dict:
    """Count GMACs of a video, and of a retriever's caption, and parameters."""
    model = build_model(cfg)
    frames = num_frames or clip_frames(cfg)
    imgs = torch.randn(1, frames, 3, *frame_size(cfg, model))
    row = dict(frames=frames,
               video_gmacs=count_macs(encoding(model, dict(imgs=imgs))) / 1e9)
    if text := getattr(model, 'text_backbone', None):
        ids = torch.ones(1, text.context_length, dtype=torch.long)
        row['text_gmacs'] = count_macs(lambda: text(ids)) / 1e9
    return dict(row, params_m=sum(p.numel() for p in model.parameters()) / 1e6)


def main() -> None:
    args = parse_args()
    rows = {}
    with exit_on_input_error():
        check_outputs(args.json)
        for path in args.config:
            row = rows[path] = count(read_config(path), args.num_frames)
            text = (f'{row["text_gmacs"]:.2f} GMACs a caption, '
                    if 'text_gmacs' in row else '')
            print(f'{path}: {row["video_gmacs"]:.2f} GMACs a video of '
                  f'{row["frames"]} frames, {text}{row["params_m"]:.1f} M parameters')
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
