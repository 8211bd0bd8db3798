#!/usr/bin/env python
"""Turn DiDeMo's annotations into annotations for paragraph retrieval.

From train_data.json, val_data.json and test_data.json. All descriptions of a video are
joined to one paragraph, in the order of the file, as CLIP4Clip does (arXiv 2104.08860,
Sec. 4.1). Videos keep their names, but for a --suffix.
"""
import os.path as osp

from mmaction_centerclip.annotations import (
    AnnotationEntry,
    Split,
    convert_annotations,
    form_errors,
    prepare_splits,
)
from mmaction_centerclip.cli import exit_on_input_error, prepare_parser
from mmaction_centerclip.errors import Problems


def read_paragraphs(path: str, suffix: str | None) -> list[AnnotationEntry]:
    """Join the descriptions of each video to one paragraph."""

    def convert(annotations: list[dict], problems: Problems) -> list[AnnotationEntry]:
        if not isinstance(annotations, list):
            raise TypeError
        sentences: dict[str, list[str]] = {}
        for number, annotation in enumerate(annotations):
            with problems.of(f'[{number}]'), form_errors(
                    'expected an annotation with a video and a description, got '
                    f'{str(annotation)[:80]}'):
                sentences.setdefault(annotation['video'], []).append(
                    annotation['description'].strip())
        return [AnnotationEntry(
            name if suffix is None else osp.splitext(name)[0] + suffix,
            [' '.join(parts)], name) for name, parts in sentences.items()]

    return convert_annotations(
        path, convert, 'be a list of annotations with a video and a description')


def main() -> None:
    args = prepare_parser(__doc__, 'data/video_retrieval/didemo', None).parse_args()
    prepare_splits([
        Split(f'{split}.json', split, (f'{split}_data.json', ),
              lambda path: read_paragraphs(path, args.suffix))
        for split in ('train', 'val', 'test')],
        args.source, args.out, args.any_count)


if __name__ == '__main__':
    with exit_on_input_error():
        main()
