"""Encode, score and rank one's own videos and texts."""
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.deployment.onnx_folder import is_exported
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.errors import InputError, check_positive_int, printable
from mmaction_centerclip.evaluation.scores import Scorer, product_scores, score_matrix
from mmaction_centerclip.utils.files import list_files, write_text
from mmaction_centerclip.utils.option_types import check_types
from mmaction_centerclip.utils.progress import track

from .loading import init_retriever
from .video_pipeline import VideoPipeline

Videos = str | os.PathLike | np.ndarray | Sequence


@dataclass(frozen=True)
class Encoded:
    """Features of videos, or of texts.

    Tensors that the head compares, float32 or bool on the CPU, one row a name:
    ``video`` or ``text`` (N, E) of a separable head.
    """
    names: list[str]  # of the videos, or the texts
    features: dict[str, Tensor]
    unreadable: dict[str, str] = field(default_factory=dict)  # video to reason


@check_types
class VideoTextRetrievalInferencer:
    """Find videos by words, with any retriever.

    Called as MMAction2's ``MMAction2Inferencer`` is. Videos are paths, URLs that
    mmengine reads, folders (all files in them), arrays of frames (T, H, W, 3) in RGB,
    uint8, or lists of these. Those that cannot be read are reported.
    The model is that of :func:`init_retriever`, by default on a GPU where there is one;
    or ``config`` is a folder of :func:`export_onnx`, without a checkpoint.
    """

    def __init__(self, config: str | os.PathLike | Config,
                 checkpoint: str | os.PathLike | None = None,
                 device: str | torch.device | None = None,
                 show_progress: bool = True) -> None:
        if is_exported(config):
            if checkpoint is not None:
                raise InputError(f'{config} is a folder of an exported model, which '
                                 f'has its weights; got the checkpoint {checkpoint}')
            self.model = OnnxRetriever(config, device)
        else:
            self.model = init_retriever(
                config, checkpoint, get_device() if device is None else device)
        self.cfg, self.show_progress = self.model.cfg, show_progress
        self.checkpoint = checkpoint
        self.pipeline = VideoPipeline(self.cfg)

    def __call__(self, inputs: Videos, texts: str | Sequence[str],
                 batch_size: int = 8, topk: int = 10, pred_out_dir: str = '',
                 print_result: bool = False) -> dict:
        """Rank videos for each text.

        Return ``predictions``, of :meth:`rank`, and ``unreadable``, reasons by video,
        which ``predictions.json`` has too, in the folder ``pred_out_dir`` if given.
        """
        # Before the videos: a mistake in them is to be known at once.
        texts = self.encode_texts(texts)
        check_positive_int('topk', topk)
        videos = self.encode_videos(inputs, batch_size)
        result = dict(predictions=self.rank(texts, videos, topk),
                      unreadable=videos.unreadable)
        if print_result:
            print(json.dumps(result, indent=1, ensure_ascii=False))
        if pred_out_dir:
            os.makedirs(pred_out_dir, exist_ok=True)
            write_text(json.dumps(result, indent=1),
                       os.path.join(pred_out_dir, 'predictions.json'))
        return result

    @torch.no_grad()
    def encode_videos(self, inputs: Videos, batch_size: int = 8) -> Encoded:
        """Encode videos, so many at a time: those that can be read, in order."""
        check_positive_int('batch_size', batch_size)
        sources = _list_sources(inputs)
        places = range(0, len(sources), batch_size)
        names, parts, unreadable = [], [], {}
        for place in track(places) if self.show_progress else places:
            samples = []
            for i, source in enumerate(sources[place:place + batch_size], place):
                name = f'array {i}' if isinstance(source, np.ndarray) else str(source)
                try:
                    video = self.pipeline.open(source, name)
                    samples.append(self.pipeline.prepare(video))
                    names.append(name)
                except DecodingError as error:
                    unreadable[name] = error.reason
            if samples:
                parts.append(self.model.video_features(self.batch(samples)))
        if not parts:
            name, reason = next(iter(unreadable.items()))
            raise InputError(f'none of {len(sources)} videos can be read, such as '
                             f'{name}: {reason}')
        for name, reason in unreadable.items():
            _warn_of(name, reason)
        return Encoded(names, {key: torch.cat([_stored(part[key]) for part in parts])
                               for key in parts[0]}, unreadable)

    def batch(self, samples: list[dict]) -> dict[str, Tensor]:
        """Return what the model encodes of samples of :meth:`VideoPipeline.prepare`."""
        data = self.model.data_preprocessor(pseudo_collate(samples), False)
        self.model.check_resizing({sample.resizing for sample in data['data_samples']})
        return data['inputs']

    @torch.no_grad()
    def encode_texts(self, texts: str | Sequence[str]) -> Encoded:
        """Encode a text, or several."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise InputError(f'texts must be a text or a list of some, got {texts!r}')
        ids, num_truncated = self.pipeline.tokenize(texts)
        if num_truncated:
            print_log(f'{num_truncated} of {len(texts)} texts are longer than the '
                      f"model's {ids.shape[1]} tokens, and cut", 'current',
                      logging.WARNING)
        device = self.model.head.logit_scale.device
        features = self.model.text_features(ids.to(device))
        return Encoded(texts, {name: _stored(x) for name, x in features.items()})

    @torch.no_grad()
    def score(self, texts: Encoded, videos: Encoded) -> Tensor:
        """Return similarities (texts, videos), float32, without the scale."""
        head = self.model.head
        device = head.logit_scale.device
        scorer = (Scorer(product_scores, device, torch.float64) if head.separable
                  else Scorer(head.similarity, device))
        return score_matrix(scorer, texts.features, videos.features)

    def rank(self, texts: Encoded, videos: Encoded, topk: int = 10) -> list[dict]:
        """Return ``text``, ``topk`` ``videos`` (names) and ``scores`` of each text."""
        topk = min(check_positive_int('topk', topk), len(videos.names))
        scores, order = self.score(texts, videos).sort(
            dim=1, descending=True, stable=True)
        return [dict(text=text, videos=[videos.names[i] for i in best[:topk]],
                     scores=values[:topk])
                for text, best, values in zip(
                    texts.names, order.tolist(), scores.tolist())]


def _list_sources(inputs: Videos) -> list:
    """Make a list of the inputs, with a folder's files in its place."""
    found = []
    for item in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if not isinstance(item, (str, os.PathLike)) or not os.path.isdir(item):
            found.append(item)
            continue
        files, closed = list_files(item)
        found += files
        for path, reason in closed.items():
            _warn_of(path, reason)
    if not found:
        raise InputError(f'no videos: got {inputs!r}')
    return found


def _stored(x: Tensor) -> Tensor:
    """Return features as they are kept: float32 or bool, on the CPU."""
    return (x.float() if x.is_floating_point() else x).cpu()


def _warn_of(name: str, reason: str) -> None:
    print_log(printable(f'{name} is left out: {reason}'), 'current', logging.WARNING)
