"""Take ``~`` for the home folder in every option that is a path."""
import argparse
import os.path as osp
import re
import sys
from collections.abc import Sequence
from pathlib import Path


def expand_home(value: object) -> object:
    """Replace a leading ``~`` by the home in all texts of a value; dicts in place."""
    if isinstance(value, str):
        start, home, rest = re.fullmatch(
            r'(local-dir:|)(~?)(.*)', value, re.DOTALL).groups()
        return start + osp.expanduser(home + rest) if home else value
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(expand_home, value))
    if isinstance(value, (dict, list)) or hasattr(value, 'merge_from_dict'):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            old, new = value[key], expand_home(value[key])
            if new is not old:
                value[key] = new
    return value


class ToolParser(argparse.ArgumentParser):
    """A parser that takes ``~`` for the home in ``~/a``, ``--b=~/a`` and ``b=~/a``."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        words = [re.sub(r'^([\w.-]+=|)(~.*)', lambda found: found[1] + expand_home(
            found[2]), word, flags=re.DOTALL)
                 for word in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(words, namespace)
