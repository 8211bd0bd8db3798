#!/usr/bin/env python
"""Count the multiply-adds of a config's towers, attention included."""
import argparse

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401

# isort: split
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.benchmarking import count_macs
from mmaction_centerclip.cli import (
    check_model,
    check_outputs,
    exit_on_input_error,
    frame_size,
    positive_int,
    read_config,
    sampled_frames,
    write_json,
)
from mmaction_centerclip.homes import ToolParser


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__)
    parser.add_argument('config', nargs='+', help='config file paths')
    parser.add_argument(
        '--num-frames', type=positive_int,
        help='frames of a video; default: those that the test pipeline samples')
    parser.add_argument('--json', metavar='OUT', help='write the figures here')
    return parser.parse_args()


def count(cfg: Config, num_frames: int | None) -> dict:
    """Count GMACs of one video and of one caption, and millions of parameters."""
    check_model(cfg)
    cfg.model.pretrained = None
    model = MODELS.build(cfg.model).eval()
    frames = num_frames or sampled_frames(cfg)
    imgs = torch.randn(1, frames, 3, *frame_size(cfg, model.backbone))
    text = torch.ones(1, model.text_backbone.context_length, dtype=torch.long)
    return dict(
        frames=frames,
        video_gmacs=count_macs(lambda: model.encode_video(dict(imgs=imgs))) / 1e9,
        text_gmacs=count_macs(lambda: model.text_backbone(text)) / 1e9,
        params_m=sum(p.numel() for p in model.parameters()) / 1e6)


def main() -> None:
    args = parse_args()
    rows = {}
    with exit_on_input_error():
        check_outputs(args.json)
        for path in args.config:
            row = rows[path] = count(read_config(path), args.num_frames)
            print(f'{path}: {row["video_gmacs"]:.2f} GMACs a video of '
                  f'{row["frames"]} frames, {row["text_gmacs"]:.2f} GMACs a '
                  f'caption, {row["params_m"]:.1f} M parameters')
        write_json(rows, args.json)


if __name__ == '__main__':
    main()
