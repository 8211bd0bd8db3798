"""Find the trained shapes model and its videos for the demonstration."""
import shutil
from collections.abc import Collection
from pathlib import Path

from mmaction_centerclip.datasets import read_annotations
from mmaction_centerclip.errors import InputError

__all__ = ['copy_videos', 'find_demo']


def find_demo(work_dir: Path, data: Path) -> tuple[Path, dict[str, list[str]]]:
    """Find what ``tools/run_shapes.py`` has made.

    Args:
        work_dir (Path): Where it has trained.
        data (Path): The shapes data.

    Returns:
        tuple[Path, dict[str, list[str]]]: The checkpoint, and the captions of
        each test video.

    Raises:
        InputError: If either is missing, with the command that makes them.
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
    """Copy the test videos, since the data's folder has those of the training too.

    Args:
        names (Collection[str]): The videos.
        data (Path): The shapes data.
        films (Path): Where they go. Made where it is missing.

    Raises:
        InputError: If one is missing, or its name leads out of its folder.
    """
    videos = data / 'videos'
    for name in names:
        if not (_is_below(videos, name) and _is_below(films, name)):
            raise InputError(f'{data / "test.json"}: {name!r} leads out of its folder, '
                             f'expected a video in {videos}')
        if not (videos / name).is_file():
            raise InputError(f'{data / "test.json"}: there is no {videos / name}')
    for name in names:
        source, copy = videos / name, films / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
            shutil.copy2(source, copy)


def _is_below(folder: Path, name: str) -> bool:
    return '\0' not in name and (folder / name).resolve().is_relative_to(
        folder.resolve())
