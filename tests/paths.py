"""Where tests find things."""
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
SHARED = ROOT.parent / 'shared'


def golden_files(pattern: str) -> list[Path]:
    """The golden arrays in the project, and the rest if it is there."""
    files = {}
    for folder in (SHARED / 'golden', ROOT / 'tests' / 'data'):
        files.update({path.name: path for path in folder.glob(pattern)})
    return [files[name] for name in sorted(files)]


def load(path: Path) -> dict:
    """An .npz as a dict, scalars as python values."""
    with np.load(path, allow_pickle=False) as file:
        return {
            key: file[key].item() if file[key].ndim == 0 else file[key]
            for key in file.files
        }
