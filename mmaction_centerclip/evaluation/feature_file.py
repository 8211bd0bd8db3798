"""A file of the features of an evaluation."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError

__all__ = [
    'RetrievalFeatures', 'check_new_file', 'first_captions', 'load_features',
    'save_features'
]

NO_HEAD = ('these features are compared by a head, which is not at hand: '
           "dict(type='ScoringHeadHook') among custom_hooks brings it, also "
           'into a file of features')
_FORMAT = 'mmaction_centerclip.features.v1'


class RetrievalFeatures(NamedTuple):
    """What an evaluation knows of its videos and captions.

    Attributes:
        video (dict[str, Tensor]): What the head keeps of each video, tensors
            (videos, ...).
        text (dict[str, Tensor]): Of each caption, tensors (texts, ...).
        video_of_text (Tensor): Each caption's video, ascending, int64
            (texts, ).
        filenames (Sequence[str]): Of the videos.
        captions (Sequence[str]): Of all videos in turn.
        paragraph (bool): Whether a caption is all sentences of a video.
        similarity (Tensor, optional): Shape (texts, videos), where it takes
            a head to compute it.
        head (dict, optional): The ``config``, of plain types, and the
            ``state_dict`` of that head.
    """
    video: dict[str, Tensor]
    text: dict[str, Tensor]
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
        """The head that compares them, on the CPU, in evaluation mode.

        Raises:
            InputError: If these features know none, or it cannot be built.
        """
        if self.head is None:
            raise InputError(NO_HEAD)
        config = self.head['config']
        try:
            head = MODELS.build(config)
            head.load_state_dict(self.head['state_dict'])
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError(f'the head {config!r} of these features cannot be '
                             f'built: {error}') from None
        return head.eval()

    def captions_per_video(self) -> list[int]:
        """How many captions each video has."""
        return self.video_of_text.bincount(
            minlength=len(self.filenames)).tolist()


def first_captions(features: RetrievalFeatures) -> RetrievalFeatures:
    """Keep the first caption of each video that has one.

    Args:
        features (RetrievalFeatures): Of any number of captions per video.

    Returns:
        RetrievalFeatures: Of at most one caption per video.
    """
    owner = features.video_of_text
    first = torch.ones(len(owner), dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    return features._replace(
        text={name: x[first] for name, x in features.text.items()},
        video_of_text=owner[first],
        captions=[features.captions[i] for i in first.nonzero()[:, 0].tolist()],
        similarity=None
        if features.similarity is None else features.similarity[first])


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
    """Read features, safely: the file cannot run code.

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
    except Exception as error:
        raise InputError(f'{path} is not a file of features: {error}') from None
    if not isinstance(content, dict) or content.pop('format', None) != _FORMAT:
        raise InputError(
            f'{path} is not a file of features; expected one that '
            'tools/test.py --dump wrote')
    return RetrievalFeatures(**content)
