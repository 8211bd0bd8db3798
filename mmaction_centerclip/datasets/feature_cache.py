"""Features of frozen towers in a file, to train heads on without any video."""
import hashlib
import io
import json
import os.path as osp
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError

from .transforms import DecodingError
from .transforms.frame_cache import bind_file, file_state
from .transforms.frame_store import FrameStore

__all__ = ['FeatureCache', 'recipe_of']

STEADY = {'VideoInit', 'SampleFramesWithMask', 'UniformSample',
          'VideoDecode', 'OpenCLIPResize', 'Resize', 'CenterCrop', 'OpenCLIPTokenize',
          'FormatShape', 'PackActionInputs'}
SAMPLINGS = 'SampleFramesWithMask', 'UniformSample'
TOWERS = b'towers'


def recipe_of(pipeline: Sequence[dict]) -> str:
    """Say what a pipeline makes of a video, which must be the same every time.

    Args:
        pipeline (Sequence[dict]): Configs of its transforms. A frame cache of
            ``VideoInit`` does not count.

    Raises:
        InputError: If a transform draws at random, or is not known not to.
    """
    steps = []
    for step in pipeline:
        name = str(step.get('type')) if isinstance(step, dict) else type(step).__name__
        is_drawn = name in SAMPLINGS and not (
            step.get('test_mode') or step.get('frames_per_second'))
        if name not in STEADY or is_drawn:
            raise InputError(f'features: {name} may draw at random, so that a video '
                             'has no features of its own; take it out' + (
                                 ' or write test_mode=True' if is_drawn else ''))
        steps.append({k: v for k, v in step.items() if k != 'cache'})
    return json.dumps(['features 1', steps], sort_keys=True, default=str)


class FeatureCache:
    """Features of videos and captions, by the content of files and the text.

    In a file as :class:`FrameStore` has it, with what that promises of kills and
    damage. All are of the towers of one model.

    Args:
        path (str): The file.
        recipe (str): Of :func:`recipe_of`; others' features are not found.
        writable (bool): Whether to add to it. Defaults to False.

    Raises:
        InputError: If there is no such file to read, or it has features of no model.
    """

    def __init__(self, path: str, recipe: str, writable: bool = False) -> None:
        if not isinstance(path, str) or not path or osp.isdir(path):
            raise InputError(f'features must be the name of a file, got {path!r}')
        self.path, self.recipe = path, recipe
        self.store = FrameStore(path, writable=writable)
        self.towers = self._read_towers()
        if not writable and self.towers is None:
            raise InputError(f'{path} has no features; tools/data/cache_features.py '
                             'makes them')

    def claim(self, towers: str) -> None:
        """Say of which model's towers the features to add are.

        Args:
            towers (str): A digest of their weights and options.

        Raises:
            InputError: If it has those of others.
        """
        if self.towers is None:
            self.store.add(TOWERS, '', 1, 0., [(0, towers.encode())])
            self.towers = self._read_towers()
        if self.towers != towers:
            raise InputError(f'{self.path} has features of other weights or of towers '
                             'with other options; name another file')

    def _read_towers(self) -> str | None:
        known = self.store.find_content(TOWERS, '')
        found = self.store.read(known.id, [0]) if known else {}
        return found[0].decode() if found else None

    def video(self, filename: str, clip: tuple | None) -> dict[str, Tensor] | None:
        """Read a video's ``segments`` (S, E) and ``segment_mask`` bool (S, )."""
        found = self._read(self._content(filename), f'{self.recipe} {clip}', 2)
        return found and dict(zip(('segments', 'segment_mask'), found))

    def text(self, caption: str) -> dict[str, Tensor] | None:
        """Read a caption's ``sentence`` (E, ), ``words`` (L, E) and ``word_mask``."""
        found = self._read(_digest(caption), self.recipe, 3)
        if not found:
            return None
        sentence, words, mask = found
        padded = words.new_zeros(len(mask), words.shape[1])
        padded[mask] = words
        return dict(sentence=sentence, words=padded, word_mask=mask)

    def add_video(self, filename: str, clip: tuple | None, segments: Tensor,
                  mask: Tensor) -> None:
        """Add a video's features, float32 (S, E), and their mask, bool (S, )."""
        self._add(self._content(filename), f'{self.recipe} {clip}', segments, mask)

    def add_text(self, caption: str, sentence: Tensor, words: Tensor,
                 mask: Tensor) -> None:
        """Add a caption's features; of its words (L, E) those of the mask (L, )."""
        self._add(_digest(caption), self.recipe, sentence, words[mask], mask)

    def sample(self, info: dict) -> dict[str, Tensor]:
        """Read what a training sample needs.

        Args:
            info (dict): ``filename``, ``text`` of one caption, and maybe ``clip``.

        Raises:
            DecodingError: If the video or the caption is not there.
        """
        if not osp.isfile(info['filename']):
            raise DecodingError('no such file', info['filename'])
        video = self.video(info['filename'], info.get('clip'))
        text = self.text(info['text'][0])
        if video is None or text is None:
            raise DecodingError(
                f'{self.path} has no features of {"it" if video is None else "its"}'
                f'{"" if video is None else " caption"} as this pipeline reads it',
                info['filename'])
        return {**video, **text}

    def _content(self, filename: str) -> bytes:
        """Return a hash of a file, which is not read again where it is the same."""
        file = osp.abspath(filename), file_state(filename)
        return self.store.content_of(*file) or bind_file(self.store, *file)

    def _add(self, content: bytes, recipe: str, *tensors: Tensor) -> None:
        blobs = []
        for tensor in tensors:
            file = io.BytesIO()
            np.save(file, tensor.cpu().numpy(), allow_pickle=False)
            blobs.append(file.getvalue())
        self.store.add(content, recipe, len(blobs), 0., enumerate(blobs))

    def _read(self, content: bytes, recipe: str, count: int) -> list[Tensor] | None:
        known = self.store.find_content(content, recipe)
        found = self.store.read(known.id, range(count)) if known else {}
        if len(found) < count:
            return None
        return [torch.from_numpy(np.load(io.BytesIO(found[i]), allow_pickle=False))
                for i in range(count)]


def _digest(caption: str) -> bytes:
    # Not that of a file: what is hashed begins otherwise.
    return hashlib.blake2b(caption.encode(), person=b'caption').digest()[:20]
