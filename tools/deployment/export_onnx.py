#!/usr/bin/env python
"""Write a retriever as ONNX files, and compare them with it.

docs/deployment.md tells what is in the folder, and what cannot be exported.
"""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.utils.files import check_absent


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='the config of the model')
    parser.add_argument('--checkpoint', help='its checkpoint; default: the weights '
                        'that model.pretrained names')
    parser.add_argument('--out', required=True, metavar='FOLDER',
                        help='the new folder to write')
    parser.add_argument('--videos', metavar='FOLDER',
                        help='videos to compare the two on, too, at most 50')
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--float16', action='store_true',
                      help='write weights in float16, for GPUs')
    kind.add_argument('--int8', action='store_true',
                      help='write matrices in int8, for CPUs')
    parser.add_argument('--calibrate', metavar='FOLDER',
                        help='with --int8: fix the ranges of values by these videos, '
                        'at most 50, in place of finding them in each run')
    parser.add_argument('--dynamic-frames', action='store_true',
                        help='take any number of frames, where tower and necks allow')
    parser.add_argument('--recall', action='store_true',
                        help='compare the recalls on the test set of the config, too')
    cli.add_cfg_options(parser)
    cli.add_allow_other(parser)
    args = parser.parse_args()
    if args.calibrate and not args.int8:
        parser.error('--calibrate goes with --int8')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.apis import export_onnx, init_retriever
from mmaction_centerclip.benchmarking.exported import check_export, read_frames
from mmaction_centerclip.engine import launching


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    check_absent(args.out)
    cfg = launching.read_config(args.config, args.cfg_options, args.allow_other)
    model = init_retriever(cfg, args.checkpoint)
    precision = 'int8' if args.int8 else 'float16' if args.float16 else 'float32'
    calibration = args.calibrate and read_frames(model, args.calibrate)
    export_onnx(model, args.out, precision, calibration,
                dynamic_frames=args.dynamic_frames)
    print(f'Wrote {args.out}')
    for line in check_export(model, args.out, args.videos, args.recall):
        print(line)


if __name__ == '__main__':
    main(ARGS)
