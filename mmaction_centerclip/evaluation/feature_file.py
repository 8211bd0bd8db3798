"""A file of the features of an evaluation."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, named_errors
from mmaction_centerclip.utils.files import check_absent
from mmaction_centerclip.utils.tensor_files import (
    check_dense,
    read_tensors,
    save_tensors,
)

from .stored_head import build_stored_head

Features = dict[str, Tensor]
"""Tensors (B, ...) of videos or captions, which a head compares."""

NO_HEAD = ('these features are compared by a head, which is not at hand: '
           'ScoringHeadHook, in default_hooks of configs/_base_/'
           'default_runtime.py, brings it, also into a file of features')
_FORMAT = 'mmaction_centerclip.features.v1'


class RetrievalFeatures(NamedTuple):
    """All videos and captions of an evaluation."""
    video: Features  # (videos, ...)
    text: Features  # (texts, ...)
    video_of_text: Tensor  # ascending, int64 (texts, )
    filenames: Sequence[str]  # one a video
    captions: Sequence[str]  # those of all videos in turn
    paragraph: bool = False  # whether a caption is all sentences of a video
    similarity: Tensor | None = None  # (texts, videos), where a head computes it
    head: dict | None = None  # its ``config``, of plain types, and ``state_dict``

    @property
    def separable(self) -> bool:
        """True if products of vectors compare them, without a head."""
        return 'video' in self.video and 'text' in self.text

    def build_head(self) -> nn.Module:
        """Build the head that compares them, see :func:`build_stored_head`."""
        if self.head is None:
            raise InputError(NO_HEAD)
        head = build_stored_head(self.head)
        text, video = ({k: x[:1].float() if x.is_floating_point() else x[:1]
                        for k, x in part.items()} for part in (self.text, self.video))
        try:  # One pair tells whether the features are what it compares.
            with torch.no_grad():
                head.similarity(text, video)
        except (IndexError, KeyError, RuntimeError) as error:
            reason = ' '.join(str(error).split())
            raise InputError(f'{type(head).__name__}, the stored head, cannot compare '
                             f'the stored features: {reason}') from error
        return head

    def captions_per_video(self) -> list[int]:
        """Count the captions of each video."""
        return self.video_of_text.bincount(minlength=len(self.filenames)).tolist()


def first_captions(features: RetrievalFeatures) -> RetrievalFeatures:
    """Keep the first caption of each video that has one."""
    own = features.video_of_text
    first = own.diff(prepend=own.new_tensor([-1])) != 0
    return features._replace(
        text={name: x[first] for name, x in features.text.items()},
        video_of_text=own[first],
        captions=[features.captions[i] for i in first.nonzero()[:, 0].tolist()],
        similarity=None if features.similarity is None else features.similarity[first])


def check_features(features: RetrievalFeatures) -> RetrievalFeatures:
    """Return features, or raise an InputError unless their parts fit together."""
    for field in ('filenames', 'captions'):
        texts = getattr(features, field)
        if not isinstance(texts, list) or not texts or not all(
                isinstance(text, str) for text in texts):
            raise InputError(f'{field} must be a list of texts that is not empty')
    shape = len(features.captions), len(features.filenames)
    for field, count in (('text', shape[0]), ('video', shape[1])):
        parts = getattr(features, field)
        if not isinstance(parts, dict) or not parts:
            raise InputError(f'{field} must be a dict of tensors, got '
                             f'{type(parts).__name__}')
        for name, x in parts.items():
            _check_tensor(f'{field} {name!r}', x, count)
    if features.separable:
        video, text = features.video['video'], features.text['text']
        if not (video.ndim == text.ndim == 2 and video.shape[1] == text.shape[1] > 0
                and video.is_floating_point() and text.is_floating_point()):
            raise InputError(
                'video and text must be vectors of floats of one width, got '
                f'{tuple(video.shape)} {video.dtype}, {tuple(text.shape)} {text.dtype}')
    if features.head is not None and not isinstance(features.head, dict):
        raise InputError(f'head must be a dict, got {type(features.head).__name__}')
    own = features.video_of_text
    if not isinstance(own, Tensor) or own.dtype != torch.int64 or (
            own.shape != shape[:1]):
        raise InputError(f'video_of_text must be int64 ({shape[0]}, ), one a caption')
    if own.min() < 0 or own.max() >= shape[1] or (own.diff() < 0).any():
        raise InputError(f'video_of_text must ascend from 0 to at most {shape[1] - 1}, '
                         f'got {own.min()} to {own.max()}')
    scores = features.similarity
    if scores is not None:
        _check_tensor('similarity', scores, shape[0])
        if scores.shape != shape or not scores.is_floating_point():
            raise InputError(f'similarity must be floats {shape}, got '
                             f'{tuple(scores.shape)} {scores.dtype}')
    if not isinstance(features.paragraph, bool):
        raise InputError(f'paragraph must be a bool, got {features.paragraph!r}')
    return features


def _check_tensor(name: str, x: object, count: int) -> None:
    if not isinstance(name, str) or not isinstance(x, Tensor) or (
            x.ndim < 1 or len(x) != count):
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f'{name} must be a tensor ({count}, ...), got {shape}')
    check_dense(name, x)
    if x.dtype not in (torch.bool, torch.int64, torch.float16, torch.bfloat16,
                       torch.float32, torch.float64):  # few operations take others
        raise InputError(f'{name} must be of floats or bools, got {x.dtype}')
    if not x.isfinite().all():
        raise InputError(f'{name} has values that are not finite')


def check_same_model(features: RetrievalFeatures, bank: RetrievalFeatures,
                     path: str) -> None:
    """Raise an InputError unless a bank, read from a path, can be compared."""
    ours, theirs = _widths(features), _widths(bank)
    if ours != theirs:
        raise InputError(f'{path}: the bank has features {theirs}, the '
                         f'evaluation {ours}; both must be of the same model')
    if features.head is None or bank.head is None:
        return
    ours, theirs = (each.head['state_dict'] for each in (features, bank))
    if features.head['config'] != bank.head['config'] or any(
            not torch.equal(value, theirs[name]) for name, value in ours.items()):
        raise InputError(f"{path}: the bank's head has other weights or options "
                         "than the evaluation's; both must be of the same model")


def _widths(features: RetrievalFeatures) -> dict[str, int]:
    """Return the width of each kind of token or vector, however many there are."""
    dims = 2 if features.separable else 3
    return {name: x.shape[-1] for part in (features.video, features.text)
            for name, x in part.items() if x.ndim == dims and x.is_floating_point()}


def check_new_file(path: str) -> None:
    """Raise an InputError unless features can be written to ``path``."""
    if not path.endswith(('.pth', '.pt')):
        raise InputError(f'features go to a .pth or .pt file, got {path!r}')
    check_absent(path)


def save_features(features: RetrievalFeatures, path: str) -> None:
    """Write features to a new ``.pth`` or ``.pt`` file, whose folder is made."""
    check_new_file(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_tensors(dict(features._asdict(), filenames=list(features.filenames),
                      captions=list(features.captions), format=_FORMAT), path)


def load_features(path: str) -> RetrievalFeatures:
    """Read a file of :func:`save_features`, which runs no code of it, and check it."""
    content = read_tensors(path)
    with named_errors(f'{path} is not a file of features'):
        if not isinstance(content, dict) or content.pop('format', None) != _FORMAT:
            raise InputError('tools/test.py --dump did not write it')
        known, found = set(RetrievalFeatures._fields), set(content)
        if found != known:
            raise InputError(f'missing {sorted(known - found)}, unknown '
                             f'{sorted(map(str, found - known))}')
        return check_features(RetrievalFeatures(**content))
