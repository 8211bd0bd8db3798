"""Take ``~`` for the home folder in every option that is a path."""
import os.path as osp
import re
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
