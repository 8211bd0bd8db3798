"""Annotation files, ours and those that data sets' authors publish; without torch."""
from .annotation_file import (
    AnnotationEntry,
    annotation_text,
    convert_annotations,
    form_errors,
    read_annotations,
    read_entries,
)
from .own_files import read_own_captions
from .prepare import Split, prepare_splits
from .text_files import read_csv, read_lines, read_plain_pickle, read_tabs

__all__ = ['AnnotationEntry', 'Split', 'annotation_text', 'convert_annotations',
           'form_errors', 'prepare_splits', 'read_annotations', 'read_csv',
           'read_entries', 'read_lines', 'read_own_captions', 'read_plain_pickle',
           'read_tabs']
