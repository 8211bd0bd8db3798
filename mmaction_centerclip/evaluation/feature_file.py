"""A file of the features of an evaluation."""
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

__all__ = [
    'Features', 'RetrievalFeatures', 'check_new_file', 'check_same_model',
    'first_captions', 'load_features', 'save_features'
]

Features = dict[str, Tensor]
"""Tensors (B, ...) of videos or captions, which a head compares."""

NO_HEAD = ('these features are compared by a head, which is not at hand: '
           'ScoringHeadHook, in default_hooks of configs/_base_/'
           'default_runtime.py, brings it, also into a file of features')
_FORMAT = 'mmaction_centerclip.features.v1'


class RetrievalFeatures(NamedTuple):
    """All videos and captions of an evaluation.

    Attributes:
        video (dict[str, Tensor]): Features of the videos (videos, ...).
        text (dict[str, Tensor]): Features of the captions (texts, ...).
        video_of_text (Tensor): Ascending, int64 (texts, ).
        filenames (Sequence[str]): One a video.
        captions (Sequence[str]): Those of all videos in turn.
        paragraph (bool): Whether a caption is all sentences of a video.
            Defaults to False.
        similarity (Tensor, optional): Shape (texts, videos), where it takes
            a head to compute it. Defaults to None.
        head (dict, optional): The ``config``, of plain types, and the
            ``state_dict`` of that head. Defaults to None.
    """
    video: Features
    text: Features
    video_of_text: Tensor
    filenames: Sequence[str]
    captions: Sequence[str]
    paragraph: bool = False
    similarity: Tensor | None = None
    head: dict | None = None

    @property
    def separable(self) -> bool:
        """Whether products of vectors compare them, without a head."""
        return 'video' in self.video and 'text' in self.text

    def build_head(self) -> nn.Module:
        """Build the head that compares them, on the CPU, for evaluation.

        Raises:
            InputError: If these features know none, or it cannot be built.
        """
        if self.head is None:
            raise InputError(NO_HEAD)
        config = self.head['config']
        try:
            # A registry would call any dotted path, which is not for a file
            # of data to choose.
            foreign = (set(_types(config)) - MODELS.module_dict.keys()
                       - MODELS.parent.module_dict.keys())
            if foreign:
                raise TypeError(f'not registered in MODELS: {sorted(foreign)}')
            head = MODELS.build(config)
            head.load_state_dict(self.head['state_dict'])
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError(f'the head {config!r} of these features cannot be '
                             f'built: {error}') from None
        return head.eval()

    def captions_per_video(self) -> list[int]:
        """Count the captions of each video."""
        return self.video_of_text.bincount(
            minlength=len(self.filenames)).tolist()


def _types(config: object) -> Iterator[str]:
    """Yield each ``type`` that building a nested config would look up."""
    if isinstance(config, dict):
        if 'type' in config:
            yield str(config['type'])
        # Looked up by init_weights(), which loaded weights need not.
        config = [x for name, x in config.items() if name != 'init_cfg']
    if isinstance(config, (list, tuple)):
        for value in config:
            yield from _types(value)


def first_captions(features: RetrievalFeatures) -> RetrievalFeatures:
    """Keep the first caption of each video that has one."""
    own = features.video_of_text
    first = torch.ones(len(own), dtype=torch.bool)
    first[1:] = own[1:] != own[:-1]
    return features._replace(
        text={name: x[first] for name, x in features.text.items()},
        video_of_text=own[first],
        captions=[features.captions[i] for i in first.nonzero()[:, 0].tolist()],
        similarity=None
        if features.similarity is None else features.similarity[first])


def check_same_model(features: RetrievalFeatures, bank: RetrievalFeatures,
                     path: str) -> None:
    """Raise an InputError unless a bank, read from a path, can be compared."""
    ours, theirs = _widths(features), _widths(bank)
    if ours != theirs:
        raise InputError(f'{path}: the bank has features {theirs}, the '
                         f'evaluation {ours}; both must be of the same model')
    if features.head is None or bank.head is None:
        return
    states = [each.head['state_dict'] for each in (features, bank)]
    if features.head['config'] != bank.head['config'] or any(
            not torch.equal(value, states[1][name])
            for name, value in states[0].items()):
        raise InputError(f"{path}: the bank's head has other weights or options "
                         "than the evaluation's; both must be of the same model")


def _widths(features: RetrievalFeatures) -> dict[str, int]:
    """Return the width of each kind of token or vector, however many there are."""
    dims = 2 if features.separable else 3
    return {
        name: x.shape[-1]
        for part in (features.video, features.text) for name, x in part.items()
        if x.ndim == dims and x.is_floating_point()
    }


def check_new_file(path: str) -> None:
    """Raise an InputError unless features can be written to ``path``."""
    if not path.endswith(('.pth', '.pt')):
        raise InputError(f'features go to a .pth or .pt file, got {path!r}')
    if os.path.exists(path):
        raise InputError(
            f'{path} exists and is not overwritten; move it or give another name')


def save_features(features: RetrievalFeatures, path: str) -> None:
    """Write features, all or nothing, to a new file.

    Args:
        features (RetrievalFeatures): What to write.
        path (str): A ``.pth`` or ``.pt`` file; its folder is made.

    Raises:
        InputError: If the file exists or has another suffix.
    """
    check_new_file(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    partial = f'{path}.partial'
    torch.save(
        dict(
            features._asdict(),
            filenames=list(features.filenames),
            captions=list(features.captions),
            format=_FORMAT), partial)
    os.replace(partial, path)


def load_features(path: str) -> RetrievalFeatures:
    """Read features safely: the file cannot run code.

    Args:
        path (str): A file of :func:`save_features`.

    Returns:
        RetrievalFeatures: On the CPU.

    Raises:
        InputError: If it is not such a file.
    """
    if not os.path.isfile(path):
        raise InputError(f'feature file not found: {path}')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
        if not isinstance(content, dict) or content.pop(
                'format', None) != _FORMAT:
            raise TypeError('tools/test.py --dump did not write it')
        return RetrievalFeatures(**content)
    except Exception as error:
        raise InputError(f'{path} is not a file of features: {error}') from None
