"""Annotations of data sets as their authors publish them."""
from .own_files import read_own_captions
from .plain_pickle import read_plain_pickle
from .prepare import Split, prepare_parser, prepare_splits
from .text_files import read_csv, read_lines, read_tabs

__all__ = ['Split', 'prepare_parser', 'prepare_splits', 'read_csv', 'read_lines',
           'read_own_captions', 'read_plain_pickle', 'read_tabs']
