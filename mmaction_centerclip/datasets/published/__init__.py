"""Annotations of data sets as their authors publish them."""
from .own_files import read_own_captions
from .prepare import Split, prepare_splits
from .text_files import read_csv, read_lines, read_plain_pickle, read_tabs

__all__ = ['Split', 'prepare_splits', 'read_csv', 'read_lines',
           'read_own_captions', 'read_plain_pickle', 'read_tabs']
