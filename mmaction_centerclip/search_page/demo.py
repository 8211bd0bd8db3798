"""Find the trained shapes model and its videos for the demonstration."""
import json
import shutil
from pathlib import Path

from mmaction_centerclip.errors import InputError

__all__ = ['demo_parts']

EXAMPLES = 3


def demo_parts(work_dir: Path, data: Path, films: Path) -> tuple[Path, list[str]]:
    """Find the checkpoint of ``tools/run_shapes.py``, and lay out its test videos.

    Args:
        work_dir (Path): Where it has trained.
        data (Path): The shapes data.
        films (Path): A folder to copy the test videos to, since the data's
            own has those of the training too. Made where it is missing.

    Returns:
        tuple[Path, list[str]]: The checkpoint, and captions to try.

    Raises:
        InputError: If either is missing, with the command that makes them.
    """
    last, captions = work_dir / 'centerclip' / 'last_checkpoint', data / 'test.json'
    # Its folder may have been moved since.
    checkpoint = last.with_name(
        Path(last.read_text().strip()).name if last.is_file() else 'epoch_10.pth')
    for path in (checkpoint, captions):
        if not path.is_file():
            raise InputError(f'{path} is missing: train the model of the demo first, '
                             'in some minutes, with python tools/run_shapes.py')
    texts = json.loads(captions.read_text(encoding='utf-8'))
    films.mkdir(parents=True, exist_ok=True)
    for name in texts:
        source, copy = data / 'videos' / name, films / name
        if not copy.exists() or copy.stat().st_mtime_ns != source.stat().st_mtime_ns:
            shutil.copy2(source, copy)
    # The plainest phrasing first, without the second shape that some have.
    captions = sorted((text for own in texts.values() for text in own),
                      key=lambda text: not text.startswith('a ') or ', and ' in text)
    return checkpoint, captions[:EXAMPLES]
