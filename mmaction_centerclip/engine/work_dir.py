"""A work dir that one training has for itself, and what it can resume from."""
import os.path as osp
import re
from pathlib import Path

from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import read_checkpoint, remove_partials
from mmaction_centerclip.utils.folder_lock import lock_folder

from .training_state import check_training_state

__all__ = ['find_resumable', 'lock_work_dir']


def lock_work_dir(work_dir: str) -> None:
    """Make a work dir and keep it for this process, as long as it lives.

    Parts of checkpoints that a killed training has left there are removed.

    Args:
        work_dir (str): Where a training writes.

    Raises:
        InputError: If it cannot be written to, or another training has it.
    """
    lock_folder(work_dir, f'--work-dir {work_dir}', 'training')
    for names in '*.pth', 'last_checkpoint':
        remove_partials(work_dir, names)


def find_resumable(work_dir: str) -> str | None:
    """Find the newest readable checkpoint of a training in a work dir.

    Only files of the folder itself count: what ``last_checkpoint`` names may
    lie where the folder was copied from.

    Args:
        work_dir (str): Where a training has written.

    Returns:
        str | None: Its path, None where there is no checkpoint.

    Raises:
        InputError: If there are checkpoints, but none is readable.
    """
    folder = Path(work_dir)
    numbered = {path: int(match[1]) for path in folder.glob('*.pth')
                if (match := re.fullmatch(r'(?:epoch|iter)_([0-9]+)\.pth', path.name))}
    paths = sorted(numbered, key=numbered.get, reverse=True)
    named = folder / 'last_checkpoint'
    if named.is_file():
        name = osp.basename(named.read_text(errors='replace').strip())
        if name and (folder / name).is_file() and folder / name not in numbered:
            paths.insert(0, folder / name)
    problems = []
    for path in paths:
        try:
            _, rest, _ = read_checkpoint(str(path))
            check_training_state(rest, str(path))
        except InputError as error:
            problems.append(str(error))
            print_log(f'Not resumed from: {error}', 'current', level=30)
            continue
        print_log(f'Resuming from {path}.', 'current')
        return str(path)
    if problems:
        raise InputError(f'--resume: no checkpoint in {work_dir} is readable: '
                         f'{"; ".join(problems[:3])}')
    return None
