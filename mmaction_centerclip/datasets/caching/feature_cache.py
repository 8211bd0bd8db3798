"""Features of frozen towers in a file, to train heads on without any video."""
import hashlib
import inspect
import json
import os.path as osp
import re
from collections.abc import Sequence

import torch
from mmaction.datasets import transforms as zoo
from mmaction.registry import TRANSFORMS
from torch import Tensor

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError

from .frame_cache import frame_changes
from .frame_store import FrameStore, file_state

# Of the zoo, as our own classes say it: ``deterministic = True``. Of both a subclass
# may be otherwise, unless it says so itself.
DETERMINISTIC = (zoo.CenterCrop, zoo.FormatShape, zoo.PackActionInputs, zoo.Resize,
                 zoo.UniformSample)
TOWERS, SHAPES = b'towers', b'shapes'


def recipe_of(pipeline: Sequence[dict]) -> str:
    """Return the fingerprint of a pipeline that makes always the same of a video.

    Others are refused. Of a frame cache counts what it changes of frames.
    """
    steps = []
    for step in pipeline:
        kind = step.get('type') if isinstance(step, dict) else type(step)
        cls = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
        is_known = isinstance(step, dict) and isinstance(cls, type) and vars(cls).get(
            'deterministic', cls in DETERMINISTIC)
        is_drawn = is_known and not (
            step.get('test_mode') or step.get('frames_per_second')
            or 'test_mode' not in inspect.signature(cls).parameters)
        if not is_known or is_drawn:
            raise InputError(
                f'features: {getattr(kind, "__name__", kind)} may draw at random, so '
                'that a video has no features of its own; take it out' + (
                    ' or write test_mode=True' if is_drawn else ''))
        changes = frame_changes(step.get('cache'), pipeline)
        steps.append({k: v for k, v in step.items() if k != 'cache'} | changes)
    return json.dumps(['features 2', steps], sort_keys=True, default=str)


class FeatureCache:
    """Features of videos and captions, by the content of files and the text.

    In a file as :class:`FrameStore` has it, with what that promises of kills and
    damage. All are of the towers of one model, and of a ``recipe``, see
    :func:`recipe_of`. What is not of the shape that the first ones had, or no number,
    counts as absent, and is made anew.
    """

    def __init__(self, path: str, recipe: str, writable: bool = False) -> None:
        if not isinstance(path, str) or not path or osp.isdir(path):
            raise InputError(f'features must be the name of a file, got {path!r}')
        self.path, self.recipe = path, recipe
        self.store = FrameStore(path, writable=writable, kind='a feature cache')
        self.towers = self._read_note(TOWERS, '')
        self._shapes = {}
        if not writable and self.towers is None:
            raise InputError(f'{path} has no features; tools/data/cache_features.py '
                             'makes them')

    def claim(self, towers: str) -> None:
        """Record the digest of the towers that features are of, and refuse another."""
        if self.towers is None:
            self._note(TOWERS, '', towers)
            self.towers = self._read_note(TOWERS, '')
        if self.towers != towers:
            raise InputError(f'{self.path} has features of other weights or of towers '
                             'with other options; name another file')

    def video(self, filename: str, clip: tuple | None) -> dict[str, Tensor] | None:
        """Read a video's ``segments`` (S, E) and ``segment_mask`` bool (S, )."""
        blobs, shape = self._read(self._content(filename), 'video', clip, 2)
        if not blobs:
            return None
        segments, mask = _numbers(blobs[0], shape[1]), _flags(blobs[1])
        if segments is None or mask is None or not (
                len(segments) == len(mask) == shape[0]):
            return None
        return dict(segments=segments, segment_mask=mask)

    def text(self, caption: str) -> dict[str, Tensor] | None:
        """Read a caption's ``sentence`` (E, ), ``words`` (L, E) and ``word_mask``."""
        blobs, shape = self._read(_digest(caption), 'text', None, 3)
        if not blobs:
            return None
        sentence, words = (_numbers(blob, shape[1]) for blob in blobs[:2])
        mask = _flags(blobs[2])
        if sentence is None or words is None or mask is None or (
                len(sentence), len(words), len(mask)) != (1, mask.sum(), shape[0]):
            return None
        padded = words.new_zeros(shape)
        padded[mask] = words
        return dict(sentence=sentence[0], words=padded, word_mask=mask)

    def add_video(self, filename: str, clip: tuple | None, segments: Tensor,
                  mask: Tensor) -> None:
        """Add a video's features, float32 (S, E), and their mask, bool (S, )."""
        self._add(self._content(filename), 'video', clip, segments.shape, segments,
                  mask)

    def add_text(self, caption: str, sentence: Tensor, words: Tensor,
                 mask: Tensor) -> None:
        """Add a caption's features; of its words (L, E) those of the mask (L, )."""
        self._add(_digest(caption), 'text', None, words.shape, sentence, words[mask],
                  mask)

    def sample(self, info: dict) -> dict[str, Tensor]:
        """Read what a training sample of one caption needs."""
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
        return self.store.content_of(osp.abspath(filename), file_state(filename))

    def _add(self, content: bytes, kind: str, clip: tuple | None,
             shape: Sequence[int], *tensors: Tensor) -> None:
        if self._shape(kind) != tuple(shape):
            self._note(SHAPES, self._key(kind), json.dumps(tuple(shape)))
            self._shapes.pop(kind, None)
        blobs = [(tensor if tensor.dtype == torch.bool else tensor.float()).cpu()
                 .contiguous().numpy().tobytes() for tensor in tensors]
        self.store.add(content, self._key(kind, clip), len(blobs), 0., enumerate(blobs))

    def _read(self, content: bytes, kind: str, clip: tuple | None,
              count: int) -> tuple[list[bytes] | None, tuple[int, int] | None]:
        """Return what is stored, if it is all there, and of which shape it must be."""
        shape = self._shape(kind)
        known = shape and self.store.find_content(content, self._key(kind, clip))
        found = self.store.read(known.id, range(count)) if known else {}
        return ([found[i] for i in range(count)] if len(found) == count else None,
                shape)

    def _key(self, kind: str, clip: tuple | None = None) -> str:
        return f'{kind} {clip} of {self.towers} by {self.recipe}'

    def _shape(self, kind: str) -> tuple[int, int] | None:
        if kind not in self._shapes:
            found = re.fullmatch(r'\[([1-9]\d{0,5}), ([1-9]\d{0,5})\]',
                                 self._read_note(SHAPES, self._key(kind)) or '')
            self._shapes[kind] = found and (int(found[1]), int(found[2]))
        return self._shapes[kind]

    def _note(self, name: bytes, recipe: str, text: str) -> None:
        self.store.add(name, recipe, 1, 0., [(0, text.encode())])

    def _read_note(self, name: bytes, recipe: str) -> str | None:
        known = self.store.find_content(name, recipe)
        found = self.store.read(known.id, [0]) if known else {}
        return found[0].decode(errors='replace') if found else None


def _numbers(blob: bytes, width: int) -> Tensor | None:
    """Return rows of a width, float32, unless the bytes are none."""
    if not blob or len(blob) % (4 * width):
        return None
    rows = torch.frombuffer(bytearray(blob), dtype=torch.float32).view(-1, width)
    return rows if rows.isfinite().all() else None


def _flags(blob: bytes) -> Tensor | None:
    """Return a mask, of which something is true, unless the bytes are none."""
    if set(blob) not in ({1}, {0, 1}):
        return None
    return torch.frombuffer(bytearray(blob), dtype=torch.bool)


def _digest(caption: str) -> bytes:
    # Not that of a file: what is hashed begins otherwise.
    return hashlib.blake2b(caption.encode(), person=b'caption').digest()[:20]
