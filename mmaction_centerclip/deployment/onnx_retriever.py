"""An exported model in the place of a retriever."""
import hashlib
import json
import os

import torch
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from torch import Tensor

from mmaction_centerclip.engine.stored_config import parse_config
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.models import VideoTextRetriever
from mmaction_centerclip.models.backbones import EncodedSegments

from .onnx_folder import HEAD, MANIFEST, TEXTS, VIDEOS, read_manifest
from .sessions import Session, best_device

CAPTIONS_AT_A_TIME = 64


class OnnxHead:
    """The head of an exported model: a video is a vector."""
    separable = True

    def __init__(self, path: str, device: str) -> None:
        self._session = Session(path, device)
        self.logit_scale = torch.zeros(())  # Inputs are on the CPU, as it is.

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return ``video`` (B, E) of segments (B, S, E), see :class:`SimilarityHead`.
        """
        return self._session(segments=segments, segment_mask=frame_mask)


def _fingerprint(known: dict) -> str:
    """Return the model's hash, or another one where its features are others."""
    if known['precision'] == 'float32':
        return known['model']
    text = json.dumps([known['model'], known['files']], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class OnnxRetriever:
    """Encode videos and captions by the files of :func:`export_onnx`.

    It has what inferencers and indexes ask of a :class:`VideoTextRetriever`, and no
    weights in torch.
    """

    def __init__(self, folder: str | os.PathLike, device: str | None = None) -> None:
        known = read_manifest(folder)
        self.folder, self.fingerprint = os.path.abspath(folder), _fingerprint(known)
        place = os.path.join(folder, MANIFEST)
        if not isinstance(known.get('config'), str):
            raise InputError(f'{place} has no config, as of one with custom imports; '
                             'run its files as docs/deployment.md does')
        cfg, _ = parse_config(known['config'], place)
        init_default_scope(cfg.default_scope)
        device = device or best_device()
        self.cfg, model = cfg, cfg.model
        self.arch, self.pretrained = model.arch, model.get('pretrained')
        self.resizing = known['frames'].get('resizing')
        # The files normalise.
        stack = {name: value for name, value in model.data_preprocessor.items()
                 if name not in ('mean', 'std')}
        with config_errors(place):
            self.data_preprocessor = MODELS.build({**stack, 'to_float32': False})
        self._videos, self._texts = (
            Session(os.path.join(folder, name), device) for name in (VIDEOS, TEXTS))
        self.head = OnnxHead(os.path.join(folder, HEAD), device)
        self.any_count = bool(known['frames'].get('any_count'))
        self.frame_shape = [known['frames']['count'], 3, *known['frames']['size']]
        taken = list(self.frame_shape)
        if self.any_count:
            taken[0] = 'frames'
        if self._videos.shapes['frames'][1:] != taken:
            raise InputError(f'{place} tells of frames {taken}, {VIDEOS} '
                             f"takes {self._videos.shapes['frames'][1:]}")

    check_resizing = VideoTextRetriever.check_resizing

    def encode(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Run on ``imgs`` uint8 (B, T, 3, H, W), and maybe ``frame_mask`` (B, T)."""
        imgs = inputs['imgs']
        mask = inputs.get('frame_mask')
        if mask is None:
            mask = torch.ones(imgs.shape[:2], dtype=torch.bool)
        return self._videos(frames=imgs, frame_mask=mask)

    def video_features(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``video`` (B, E)."""
        return dict(video=self.encode(inputs)['video'])

    def encode_segments(self, inputs: dict[str, Tensor]) -> EncodedSegments:
        """Return features of segments (B, S, E), their mask, and first frames."""
        known = self.encode(inputs)
        return EncodedSegments(known['segments'], known['segment_mask'],
                               known['segment_starts'])

    def project(self, segments: Tensor) -> Tensor:
        """Return the segments: they have the width of captions."""
        return segments

    def text_features(self, text: Tensor) -> dict[str, Tensor]:
        """Return ``text`` (C, E) of token ids, int64 (C, L)."""
        parts = [self._texts(ids=part)['text']
                 for part in text.split(CAPTIONS_AT_A_TIME)]
        return dict(text=torch.cat(parts))
