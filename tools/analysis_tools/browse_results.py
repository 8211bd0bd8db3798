#!/usr/bin/env python
"""Write the failures of an evaluation as a page to look at.

The page has the captions whose own videos come last, with film strips of what they
found, and the captions that the model takes for each other. It is one file of HTML. The
features are those that ``tools/test.py CONFIG CHECKPOINT --dump FILE`` stored.
"""
import argparse
import os.path as osp

from mmaction_centerclip import cli
from mmaction_centerclip.utils.files import write_text


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('features', help='a .pth file of test.py --dump')
    parser.add_argument('--videos', required=True, metavar='FOLDER',
                        help='where the videos are')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='the page to write, such as results.html')
    parser.add_argument('--count', type=cli.positive_int, default=20,
                        help='queries, and pairs of captions, to show')
    parser.add_argument('--topk', type=cli.positive_int, default=5,
                        help='videos of a query to show')
    parser.add_argument('--frames', type=cli.positive_int, default=5,
                        help='frames of a film strip')
    parser.add_argument('--max-pairs', type=cli.positive_int, default=2**18,
                        help='pairs to score at a time, which bounds the memory')
    cli.add_device(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.evaluation import (
    choose_scorer,
    evaluate_features,
    load_features,
    score_matrix,
)
from mmaction_centerclip.visualization import (
    VideoFolder,
    confusable_captions,
    result_page,
    worst_queries,
)


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    cli.check_outputs(args.out)
    features = load_features(args.features)
    folder = VideoFolder(args.videos, features.filenames)
    if features.similarity is None:
        scorer = choose_scorer(features, device=args.device, max_pairs=args.max_pairs)
        features = features._replace(
            similarity=score_matrix(scorer, features.text, features.video))
    said: list[str] = []
    evaluate_features(features, report=said.append)
    similarities = features.similarity, features.video_of_text
    failures = worst_queries(*similarities, args.count, args.topk)
    confusions = confusable_captions(*similarities, args.count)
    page = result_page(osp.basename(args.features), said[0], features, failures,
                       confusions, folder, args.frames)
    write_text(page, args.out)
    print(f'{said[0]}\n{args.out}: {len(failures)} worst queries, '
          f'{len(confusions)} pairs of captions')


if __name__ == '__main__':
    main(ARGS)
