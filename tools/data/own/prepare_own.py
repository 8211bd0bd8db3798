#!/usr/bin/env python
"""Turn your own videos and their captions into annotations.

VIDEOS is their folder. The captions are a table CAPTIONS.csv (.tsv, .txt) with the
titles video, caption and, optionally, start, end and split; or the same as an object on
each line of a CAPTIONS.jsonl; or subtitles CAPTIONS.srt or .vtt, named as their video;
or, without CAPTIONS, a .srt or .vtt (film.srt, film.en.srt), or a .txt with a caption a
line, beside each video. Videos go to train.json or test.json as a whole, with all their
captions and clips.
"""
import argparse
import os.path as osp

from mmaction_centerclip import cli
from mmaction_centerclip.annotations import read_own_captions
from mmaction_centerclip.annotations.own_files import find_videos, split_by_video
from mmaction_centerclip.annotations.prepare import write_split
from mmaction_centerclip.annotations.text_files import check_encoding
from mmaction_centerclip.errors import InputError, Problems, check_number


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        registers=False)
    parser.add_argument('videos', help='folder of the videos')
    parser.add_argument('captions', nargs='?', help='.csv, .jsonl, .srt or .vtt file')
    parser.add_argument('--out', help='folder to write to, default: above the videos')
    parser.add_argument(
        '--test-fraction', type=float, default=0.2,
        help='how many of the videos to test on, if the captions say no split')
    parser.add_argument(
        '--seed', type=int, default=0, help='another one, another choice of them')
    parser.add_argument(
        '--language', help='which subtitles to read of those beside the videos, such '
        'as en for film.en.srt; those without a language where there are no others')
    parser.add_argument(
        '--encoding', help='of files that are neither UTF-8 nor say what they are, '
        'such as cp1252')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    check_number('--test-fraction', args.test_fraction, lambda x: 0 < x < 1,
                 'above 0 and below 1')
    check_encoding('--encoding', args.encoding)
    if args.language and args.captions:
        raise InputError(f'--language {args.language} is for subtitles beside the '
                         f'videos, expected it without {args.captions}')
    if not osp.isdir(args.videos):
        raise InputError(f'{args.videos} must be the folder of the videos')
    entries, splits = read_own_captions(args.videos, args.captions, args.language,
                                        args.encoding)
    videos = {entry.video for entry in entries}
    if not splits:
        splits = split_by_video(list(videos), args.test_fraction, args.seed)
    with Problems() as problems:
        for video in sorted(videos - set(splits)):
            problems.add(f'{args.captions}: {video} has no split, but others have')
    bare = [video for video in find_videos(args.videos) if video not in videos]
    if bare:
        print(f'{len(bare)} videos without a caption are left out, the first being '
              f'{bare[0]}')
    out = args.out or osp.dirname(osp.abspath(args.videos))
    written = 0
    for split in ('train', 'val', 'test'):
        chosen = [entry for entry in entries if splits[entry.video] == split]
        if not chosen:
            continue
        written += write_split(chosen, split, osp.join(out, f'{split}.json'),
                               f'{len({entry.video for entry in chosen}):,} videos')
    if not written:
        print('Nothing to do.')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main()
