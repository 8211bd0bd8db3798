#!/usr/bin/env python
"""Turn LSMDC's tab-separated lists into annotations.

From LSMDC16_annos_training.csv, LSMDC16_annos_val.csv and the public test list
LSMDC16_challenge_1000_publictect.csv: a clip a line, with its name, two pairs of start
and end, and the sentence. Clips are files: start and end, in the film, are left out.
"""
from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    prepare_splits,
    read_tabs,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import Problems


def read_clips(path: str, suffix: str, by_film: bool) -> list[AnnotationEntry]:
    """Read the clips of a list, those of a name together."""
    captions: dict[str, list[str]] = {}
    with Problems() as problems:
        for name, *_, sentence in read_tabs(path, 6, problems):
            captions.setdefault(name, []).append(sentence)
    return [AnnotationEntry(
        (f'{name.rpartition("_")[0]}/' if by_film else '') + name + suffix, texts, name)
        for name, texts in captions.items()]


def main() -> None:
    parser = prepare_parser(__doc__, 'data/video_retrieval/lsmdc', '.avi')
    parser.add_argument(
        '--by-film', action='store_true',
        help='the videos lie in a folder for each film, as they are downloaded')
    args = parser.parse_args()
    prepare_splits([
        Split(f'{split}.json', split, (name, ),
              lambda path: read_clips(path, args.suffix, args.by_film), count)
        for split, name, count in (
            ('train', 'LSMDC16_annos_training.csv', None),
            ('val', 'LSMDC16_annos_val.csv', None),
            ('test', 'LSMDC16_challenge_1000_publictect.csv', 1000))],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
