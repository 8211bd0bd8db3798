#!/usr/bin/env python
"""Draw the patches of a video that a model's necks keep.

The frames are those that the config's test pipeline samples and crops. Dropped patches
are dimmed; kept ones have a bold border in the color of their cluster, whose other
patches have a thin one. A number counts the patches of a merged token.
"""
import argparse
import os.path as osp

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.files import atomic_write


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a retriever or recogniser')
    parser.add_argument(
        'checkpoint', nargs='?',
        help='checkpoint file; by default the pretrained weights that the config names')
    parser.add_argument('video', help='a video file')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='the picture to write, such as tokens.png; of several '
                        'necks, one each: tokens_1.png, tokens_2.png ...')
    parser.add_argument('--columns', type=cli.positive_int, default=4,
                        help='frames in a row')
    parser.add_argument('--random', action='store_true',
                        help='draw what random weights keep, to try a config')
    cli.add_device(parser)
    cli.add_cfg_options(parser)
    cli.add_allow_other(parser)
    args = parser.parse_args()
    if args.random and args.checkpoint:
        parser.error('--random goes without a checkpoint')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import cv2
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch import nn

from mmaction_centerclip.apis import load_pretrained
from mmaction_centerclip.datasets.samples import SamplePipeline
from mmaction_centerclip.engine import launching
from mmaction_centerclip.engine.checkpoints import load_checkpoint
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.models import VideoTextRetriever
from mmaction_centerclip.utils.pipelines import find_pipelines
from mmaction_centerclip.visualization import (
    draw_tokens,
    see_tokens,
    tower_inputs,
    tower_of,
)


def build_model(cfg: Config, args: argparse.Namespace) -> nn.Module:
    """Build the model with the weights that were asked for."""
    torch.manual_seed(0)
    with config_errors('model'):
        model = MODELS.build(cfg.model)
    if args.checkpoint is not None:
        load_checkpoint(model, args.checkpoint, cfg)
    elif not args.random:
        load_named_weights(model, args.config)
    return model.to(args.device).eval()


def load_named_weights(model: nn.Module, config: str) -> None:
    """Load the weights that the config starts the video tower from."""
    if isinstance(model, VideoTextRetriever) and (
            model.video_pretrained is not None or model.pretrained is not None):
        load_pretrained(model, video_only=True)
    elif getattr(model.backbone, 'pretrained', None) is not None:
        model.backbone.init_weights()
    else:
        raise InputError(f'{config}: checkpoint is missing, and the config names no '
                         'pretrained weights for the video tower; --random draws what '
                         'random ones keep')


def read_video(cfg: Config, path: str) -> dict:
    """Run the test pipeline on a video, and return it as a batch."""
    pipeline = next(find_pipelines(cfg.get('test_dataloader')), None)
    if pipeline is None:
        raise InputError(f'{cfg.filename}: there is no pipeline in test_dataloader')
    results = dict(filename=path, text=[osp.basename(path)], label=-1, start_index=0,
                   modality='RGB')
    with config_errors('test_dataloader'):
        steps = SamplePipeline([TRANSFORMS.build(config) for config in pipeline])
    return pseudo_collate([steps(results)])


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    if osp.splitext(args.out)[1].lower() not in ('.png', '.jpg', '.jpeg'):
        raise InputError(f'--out must be a .png or .jpg file, got {args.out!r}')
    cli.check_outputs(args.out)
    launching.check_checkpoint(args.checkpoint)
    cfg = launching.read_config(args.config, args.cfg_options, args.allow_other)
    launching.check_model(cfg)
    init_default_scope('mmaction')
    prepare_config(cfg)
    batch = read_video(cfg, args.video)
    model = build_model(cfg, args)
    videos = tower_inputs(model, batch, 1)
    views = see_tokens(tower_of(model), videos.imgs, videos.frame_mask)
    for number, view in enumerate(views, start=1):
        stem, suffix = osp.splitext(args.out)
        path = args.out if len(views) == 1 else f'{stem}_{number}{suffix}'
        center, size = (x[0].cpu().numpy() for x in (view.center, view.size))
        picture = draw_tokens(videos.frames[0], center, size, args.columns)
        _, content = cv2.imencode(suffix, picture[..., ::-1])
        with atomic_write(path) as partial, open(partial, 'wb') as file:
            file.write(content.tobytes())
        print(f'{path}: {(size > 0).sum()} of {size.size} patches kept by {view.neck}'
              + ', with random weights' * args.random)


if __name__ == '__main__':
    main(ARGS)
