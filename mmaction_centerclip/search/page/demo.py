"""Find the trained shapes model and its videos for the demonstration."""
import shutil
from collections.abc import Collection
from pathlib import Path

from mmaction_centerclip.datasets import read_annotations
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import path_below

__all__ = ['copy_videos', 'find_demo']


def find_demo(work_dir: Path, data: Path) -> tuple[Path, dict[str, list[str]]]:
    """Find what ``tools/run_shapes.py`` has made.

    Args:
        work_dir (Path): Where it has trained.
        data (Path): The shapes data.

    Returns:
        tuple[Path, dict[str, list[str]]]: The checkpoint, and the captions of
        each test video.
    """
    last, captions = work_dir / 'centerclip' / 'last_checkpoint', data / 'test.json'
    try:
        # Its folder may have been moved since.
        checkpoint = last.with_name(Path(last.read_text('utf-8').strip()).name)
    except FileNotFoundError:
        checkpoint = last.with_name('epoch_10.pth')
    except ValueError as error:
        raise InputError(f'{last} names no checkpoint: {error}') from error
    for path in (checkpoint, captions):
        if not path.is_file():
            raise InputError(f'{path} is missing: train the model of the demo first, '
                             'in some minutes, with python tools/run_shapes.py')
    return checkpoint, read_annotations(str(captions))


def copy_videos(names: Collection[str], data: Path, films: Path) -> None:
    """Copy the test videos out of ``data``, which has those of the training too."""
    captions = str(data / 'test.json')
    pairs = [(Path(path_below(data / 'videos', name, captions)),
              Path(path_below(films, name, captions))) for name in names]
    for source, _ in pairs:
        if not source.is_file():
            raise InputError(f'{captions}: there is no {source}')
    for source, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
            shutil.copy2(source, copy)
