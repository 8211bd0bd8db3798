"""Encode, score and rank one's own videos and texts."""
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from rich.progress import track
from torch import Tensor, nn

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError, check_positive_int, printable
from mmaction_centerclip.evaluation.scores import Scorer, product_scores, score_matrix
from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.option_types import check_types

from .folders import list_files
from .loading import init_retriever
from .video_pipeline import VideoPipeline

__all__ = ['Encoded', 'VideoTextRetrievalInferencer']

Videos = str | os.PathLike | np.ndarray | Sequence


@dataclass(frozen=True)
class Encoded:
    """Features of videos, or of texts.

    Attributes:
        names (list[str]): The videos' names, or the texts.
        features (dict[str, Tensor]): What the head compares, float32 or bool
            tensors on the CPU whose first dimension counts the names:
            ``video`` or ``text`` (N, E) of a separable head.
        unreadable (dict[str, str]): Videos that are left out, and why.
    """
    names: list[str]
    features: dict[str, Tensor]
    unreadable: dict[str, str] = field(default_factory=dict)


@check_types
class VideoTextRetrievalInferencer(BaseInferencer):
    """Find videos by words, with any retriever.

    In the habits of MMAction2's ``MMAction2Inferencer``. Videos are paths,
    URLs that mmengine reads, folders (all files in them), arrays of frames
    (T, H, W, 3) in RGB, uint8, or lists of these. A video that cannot be read
    is reported, and the others are ranked.

    Args:
        config (str | os.PathLike | Config): As for :func:`init_retriever`.
        checkpoint (str, optional): Likewise. Defaults to None: the config's
            ``pretrained``.
        device (str, optional): Defaults to None: a GPU where there is one.
        show_progress (bool): Whether to show a progress bar. Defaults to True.

    Raises:
        InputError: As :func:`init_retriever`, or if the test pipeline is not
            one of a :class:`VideoPipeline`.
    """
    preprocess_kwargs: set = set()
    forward_kwargs: set = set()
    visualize_kwargs: set = set()
    postprocess_kwargs: set = {'texts', 'topk', 'pred_out_dir', 'print_result'}

    def __init__(self, config: str | os.PathLike | Config,
                 checkpoint: str | os.PathLike | None = None,
                 device: str | torch.device | None = None,
                 show_progress: bool = True) -> None:
        # mmengine's takes no config for the one that a checkpoint stores, and
        # an unknown file for a name of the model zoo.
        if isinstance(config, os.PathLike):
            config = os.fspath(config)
        if not isinstance(config, Config) and not os.path.isfile(config):
            raise InputError(f'config must be a config or its file, got {config!r}')
        super().__init__(config, checkpoint, device, show_progress=show_progress)
        self.cfg = self.model.cfg

    def _init_model(self, cfg: Config, weights: str | None,
                    device: str = 'cpu') -> nn.Module:
        return init_retriever(cfg, weights, device)

    def _init_pipeline(self, cfg: Config) -> VideoPipeline:
        return VideoPipeline(self.model.cfg)

    def _init_collate(self, cfg: Config) -> Callable:
        # The test loader's is a dict in a config that a training has dumped.
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        return None

    def __call__(self, inputs: Videos, texts: str | Sequence[str],
                 batch_size: int = 8, **kwargs) -> dict:
        """Rank videos for each text.

        Args:
            inputs (Videos): The videos.
            texts (str | Sequence[str]): A text or several.
            batch_size (int): Videos to encode at a time. Defaults to 8.
            **kwargs: As for :meth:`postprocess`.

        Returns:
            dict: See :meth:`postprocess`.

        Raises:
            InputError: If no video can be read, or an input is of another kind.
        """
        # Before the videos: a mistake in them is to be known at once.
        texts = self.encode_texts(texts)
        return super().__call__(inputs, batch_size=batch_size, texts=texts, **kwargs)

    def _inputs_to_list(self, inputs: Videos) -> list:
        """Make a list of the inputs, with a folder's files in its place."""
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        found = []
        for item in inputs:
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

    def preprocess(self, inputs: list, batch_size: int = 8) -> Iterator[dict]:
        """Decode videos, and yield them in batches for :meth:`forward`."""
        check_positive_int('batch_size', batch_size)
        samples = (self._prepare(item, i) for i, item in enumerate(inputs))
        return map(self.collate_fn, self._get_chunk_data(samples, batch_size))

    def _prepare(self, source: object, index: int) -> dict:
        name = f'array {index}' if isinstance(source, np.ndarray) else str(source)
        try:
            data = self.pipeline.prepare(self.pipeline.open(source, name))
        except DecodingError as error:
            meta = dict(filename=name, missing=True, reason=error.reason)
            keys = self.pipeline.collect_keys
            data = dict(inputs=dict.fromkeys(keys),
                        data_samples=ActionDataSample(metainfo=meta))
        data['data_samples'].set_metainfo(dict(sample_idx=index))
        return data

    @torch.no_grad()
    def forward(self, inputs: dict) -> list[ActionDataSample]:
        """Encode a batch; samples that could be read get ``video_features``."""
        data = self.model.data_preprocessor(inputs, False)
        samples, inputs = data['data_samples'], data['inputs']
        if inputs:
            read = samples[:len(inputs['imgs'])]
            self.model.check_resizing({sample.resizing for sample in read})
            features = self.model.video_features(inputs)
            for i, sample in enumerate(read):
                sample.set_field({k: _stored(x[i]) for k, x in features.items()},
                                 'video_features')
        return samples

    def encode_videos(self, inputs: Videos, batch_size: int = 8) -> Encoded:
        """Encode videos, without texts.

        Args:
            inputs (Videos): The videos.
            batch_size (int): Videos to encode at a time. Defaults to 8.

        Returns:
            Encoded: Of those that can be read, in their order.

        Raises:
            InputError: If none can be read, or an input is of another kind.
        """
        batches = self.preprocess(self._inputs_to_list(inputs), batch_size)
        if self.show_progress:
            batches = track(batches, description='Encoding')
        return _encoded([s for batch in batches for s in self.forward(batch)])

    @torch.no_grad()
    def encode_texts(self, texts: str | Sequence[str]) -> Encoded:
        """Encode texts, without videos.

        Args:
            texts (str | Sequence[str]): A text or several.

        Raises:
            InputError: If there is none, or one is empty.
        """
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
        """Return each text's best videos.

        Args:
            texts (Encoded): From :meth:`encode_texts`.
            videos (Encoded): From :meth:`encode_videos`.
            topk (int): How many at most. Defaults to 10.

        Returns:
            list[dict]: By text: ``text``, ``videos`` (names, the best first;
            equal ones in their order), and their ``scores``.
        """
        topk = min(check_positive_int('topk', topk), len(videos.names))
        scores, order = self.score(texts, videos).sort(
            dim=1, descending=True, stable=True)
        return [dict(text=text, videos=[videos.names[i] for i in best[:topk]],
                     scores=values[:topk])
                for text, best, values in zip(
                    texts.names, order.tolist(), scores.tolist())]

    def visualize(self, inputs: list, preds: list, **kwargs) -> None:
        """Draw nothing."""

    def postprocess(self, preds: list[ActionDataSample], visualization: None = None,
                    return_datasamples: bool = False, *, texts: Encoded,
                    topk: int = 10, pred_out_dir: str = '',
                    print_result: bool = False) -> dict:
        """Rank the encoded videos.

        Args:
            preds (list[ActionDataSample]): From :meth:`forward`.
            visualization (None): There is none.
            return_datasamples (bool): Not supported.
            texts (Encoded): From :meth:`encode_texts`.
            topk (int): Videos a text. Defaults to 10.
            pred_out_dir (str): A folder for ``predictions.json``, made where it
                is missing. Defaults to ``''``: nothing is written.
            print_result (bool): Whether to print the result. Defaults to False.

        Returns:
            dict: ``predictions``, see :meth:`rank`; ``unreadable``, reasons by
            video; ``visualization``, None.
        """
        if return_datasamples:
            raise InputError('return_datasamples: the result is a ranking, which no '
                             'data sample holds')
        videos = _encoded(preds)
        result = dict(predictions=self.rank(texts, videos, topk),
                      unreadable=videos.unreadable)
        if print_result:
            print(json.dumps(result, indent=1, ensure_ascii=False))
        if pred_out_dir:
            os.makedirs(pred_out_dir, exist_ok=True)
            write_text(json.dumps(result, indent=1),
                       os.path.join(pred_out_dir, 'predictions.json'))
        return dict(result, visualization=visualization)


def _stored(x: Tensor) -> Tensor:
    """Return a feature as it is kept: float32 or bool, on the CPU."""
    return (x.float() if x.is_floating_point() else x).cpu()


def _warn_of(name: str, reason: str) -> None:
    print_log(printable(f'{name} is left out: {reason}'), 'current', logging.WARNING)


def _encoded(samples: list[ActionDataSample]) -> Encoded:
    """Join the samples of all batches, in the order of the inputs."""
    samples = sorted(samples, key=lambda sample: sample.sample_idx)
    unreadable = {s.filename: s.reason for s in samples if s.missing}
    read = [sample for sample in samples if not sample.missing]
    if not read:
        name, reason = next(iter(unreadable.items()))
        raise InputError(f'none of {len(samples)} videos can be read, such as {name}: '
                         f'{reason}')
    for name, reason in unreadable.items():
        _warn_of(name, reason)
    features = {name: torch.stack([s.video_features[name] for s in read])
                for name in read[0].video_features}
    return Encoded([s.filename for s in read], features, unreadable)
