#!/usr/bin/env python
"""Compress the videos of a folder, so that training does not wait for them.

H.264 in MP4 without sound, 3 frames a second and a short side of 224 as CLIP4Clip's
authors have them. Names stay as they are: decoders look at the content. Each file is
compared with its original before it gets its name; what is there is skipped.
"""
import argparse
import functools
import json
import os.path as osp
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, printable
from mmaction_centerclip.utils.files import (
    VIDEO_SUFFIXES,
    lock_folder,
    remove_partials,
    write_text,
)
from mmaction_centerclip.utils.progress import track

LOG = 'compression.json'


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', type=Path, help='folder of videos, also in folders')
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER',
                        help='where to write them')
    parser.add_argument('--short-side', type=int, default=224, help='pixels')
    parser.add_argument('--fps', type=int, default=3,
                        help='frames of each second to keep; 0 for all')
    parser.add_argument('--all-intra', action='store_true',
                        help='every frame by itself: larger, faster to read')
    parser.add_argument('--crf', type=int, default=18, help="x264's quality")
    parser.add_argument('--preset', default='medium', help="x264's, from ultrafast to "
                        'veryslow')
    parser.add_argument('--max-difference', type=float, default=20.,
                        help='mean of a frame, of 255, from which a video is refused')
    cli.add_num_workers(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.utils.parallel import run_each
from mmaction_centerclip.utils.tables import format_bytes


def find_videos(folder: Path, out: Path) -> list[str]:
    """List the videos of a folder, by their names in it."""
    if not folder.is_dir():
        raise InputError(f'no such folder: {folder}')
    if out.resolve() == folder.resolve():
        raise InputError(f'{out}: the videos are there, choose another folder')
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob('*')
                   if path.suffix.lower() in VIDEO_SUFFIXES
                   and out.resolve() not in path.resolve().parents)
    if not names:
        raise InputError(f'{folder} has no videos (files that end with '
                         f'{" ".join(VIDEO_SUFFIXES)})')
    return names


def check_out(out: Path, options: dict, names: list[str]) -> None:
    """Refuse a folder of other options, and remove what killed runs left."""
    lock_folder(str(out), str(out), 'run')
    log = out / LOG
    if log.exists():
        try:
            found = json.loads(log.read_text(encoding='utf-8'))['options']
        except (KeyError, TypeError, ValueError):
            raise InputError(f'{log} is damaged; delete it to go on') from None
        if found != options:
            raise InputError(f'{out} has videos of other options, {found}; '
                             'choose another folder')
    write_text(json.dumps(dict(options=options), indent=1), str(log))
    for folder in {(out / name).parent for name in names}:
        remove_partials(folder)


def compress(name: str, folder: Path, out: Path, options: Compression) -> dict | None:
    return compress_video(str(folder / name), str(out / name), options)


def warning_of(options: Compression) -> str:
    """Return what results with such videos must not be compared with."""
    if options.fps:
        return (f'Of each second {options.fps} frames are left, so frame numbers are '
                'others and sampling draws other frames: compare results with results '
                'on videos that were compressed with the same options, and with no '
                'results on the originals. frames_per_second of '
                f'SampleFramesWithMask is of these {options.fps}.')
    return ('Frame numbers and times are those of the originals, and sampling draws '
            'the same frames, but their pictures differ: compare results with results '
            'on the originals only as far as a small difference does not matter.')


def main(args: argparse.Namespace) -> None:
    options = Compression(args.short_side, args.fps, args.all_intra, args.crf,
                          args.preset, args.max_difference)
    names = find_videos(args.videos, args.out)
    check_out(args.out, vars(options), names)
    function = functools.partial(
        compress, folder=args.videos, out=args.out, options=options)
    done, failed, skipped = {}, {}, 0
    for name, result in track(run_each(function, names, args.num_workers), len(names)):
        if isinstance(result, Exception):
            failed[name] = str(result) or type(result).__name__
            print(f'\n{printable(failed[name])}')
        elif result is None:
            skipped += 1
        else:
            done[name] = result
    report = dict(options=vars(options), warning=warning_of(options),
                  compressed=done, skipped=skipped, failed=failed)
    write_text(json.dumps(report, indent=1), osp.join(args.out, LOG))
    before, after = (format_bytes(sum(video[key] for video in done.values()))
                     for key in ('original_bytes', 'bytes'))
    frames = sum(video['frames'] for video in done.values())
    differ = sum(video['difference'] * video['frames'] for video in done.values())
    print(f'{len(done)} videos compressed, {before} to {after}, '
          f'{frames} frames compared, which differ by {differ / max(frames, 1):.2f} '
          f'of 255; {skipped} were there.\n{report["warning"]}')
    if failed:
        raise InputError(f'{len(failed)} of {len(names)} videos were not compressed, '
                         f'the first being {next(iter(failed.values()))}; '
                         f'{args.out / LOG} lists them')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main(ARGS)
