"""Measure reducers in a trained model, beside the same model without."""
import copy
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmaction_centerclip.config_completion import complete_config
from mmaction_centerclip.engine.weights import load_checkpoint
from mmaction_centerclip.errors import InputError, check_choice, named_errors
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    choose_scorer,
    evaluate_features,
)
from mmaction_centerclip.models.retrievers import load_clip_weights

from .fidelity import fidelity
from .prices import measure_prices

__all__ = ['MeasuredTwin', 'SweepData', 'build_twin', 'load_trained',
           'load_twin', 'with_necks']

CLOCKS = dict(wall=time.perf_counter, process=time.process_time)


class SweepData(NamedTuple):
    """Batches that all models of a config see, decoded once.

    Attributes:
        test (list[dict]): The config's test data; empty: no retrieval.
        clips (list[dict]): Clips without captions; empty: none.
        paragraph (bool): See :class:`RetrievalFeatures`.
    """
    test: list[dict]
    clips: list[dict]
    paragraph: bool = False

    @classmethod
    def read(cls, cfg: Config, retrieval: bool, clips: Tensor | None,
             batch_size: int) -> 'SweepData':
        """Decode what a config's models are measured on.

        Args:
            cfg (Config): A retriever's.
            retrieval (bool): Whether to read the test data.
            clips (Tensor, optional): Uint8 (B, T, 3, H, W).
            batch_size (int): Videos of a batch.

        Raises:
            InputError: If a test video cannot be read, or there is nothing.
        """
        samples, paragraph = [], False
        if retrieval:
            cfg = copy.deepcopy(cfg)
            complete_config(cfg)
            dataset = DATASETS.build(cfg.test_dataloader.dataset)
            paragraph = dataset.metainfo.get('paragraph', False)
            for sample in map(dataset.__getitem__, range(len(dataset))):
                meta = sample['data_samples']
                if meta.get('missing', False):
                    raise InputError(f'{meta.filename}: {meta.reason}')
                samples.append(sample)
        words = torch.zeros(1, 1, dtype=torch.long)  # nobody reads them
        more = [dict(inputs=dict(imgs=clip, text=words),
                     data_samples=ActionDataSample())
                for clip in (() if clips is None else clips)]
        if not samples and not more:
            raise InputError('there is neither test data nor a clip to measure')
        return cls(*([pseudo_collate(part[i:i + batch_size])
                      for i in range(0, len(part), batch_size)]
                     for part in (samples, more)), paragraph)


def build_twin(cfg: Config) -> nn.Module:
    """Build a config's model without its necks, of random weights."""
    return _build(cfg, [])


def _build(cfg: Config, necks: Sequence[dict]) -> nn.Module:
    model = copy.deepcopy(cfg.model)
    model.backbone.necks = list(necks)
    return MODELS.build(model).eval()


def load_twin(cfg: Config, checkpoint: str | None = None) -> nn.Module:
    """Build a config's model without its necks, with trained weights.

    Args:
        cfg (Config): A retriever's.
        checkpoint (str, optional): Of that model, all of its weights. Defaults
            to None: those that ``model.pretrained`` names.

    Raises:
        InputError: If the weights do not fit, or lack a part of the model.
    """
    if checkpoint is None:
        model = build_twin(cfg)
        untrained = load_clip_weights(model, cfg.model.pretrained, cfg.model.arch)
        if untrained:
            raise InputError(f'pretrained={cfg.model.pretrained!r} has no weights for '
                             f'{untrained[:3]} ({len(untrained)} in all)')
        return model
    return load_trained(cfg, [], checkpoint)


def load_trained(cfg: Config, necks: Sequence[dict], checkpoint: str) -> nn.Module:
    """Build a config's model with other necks, and load all of its weights.

    Raises:
        InputError: If the checkpoint is not of that model.
    """
    model = _build(cfg, necks)
    with named_errors(f'{len(necks)} necks'):
        load_checkpoint(model, checkpoint, cfg)
    return model


def with_necks(twin: nn.Module, cfg: Config, necks: Sequence[dict]) -> nn.Module:
    """Build the same model with necks, and the twin's weights.

    Raises:
        InputError: If a neck has weights of its own, which need training.
    """
    model = _build(cfg, necks)
    missing = model.load_state_dict(twin.state_dict(), strict=False).missing_keys
    if missing:
        raise InputError(f'{missing[0]} is learned in training; measure this reducer '
                         'with training')
    return model


class MeasuredTwin:
    """A trained model without necks, and the features that it gives.

    Args:
        model (nn.Module): From :func:`load_twin`.
        data (SweepData): What to measure on.
        clock (str): ``'wall'``, or ``'process'``, the time of one CPU thread,
            which other programs do not add to.
        repeats (int): Timed calls of each model, in turns. Defaults to 40.
        timed_videos (int): Videos of a timed call. Defaults to 8.
        device (str): Where to put the models. Defaults to ``'cpu'``.
        prices (Sequence[str]): What to time, see :func:`measure_prices`. Defaults
            to ``('tower', )``.
        compile (bool): Whether to compile the video towers that are timed.
            Defaults to False.

    Raises:
        InputError: If CPU time is to be taken of several threads or a GPU, or
            captions and frames are not prepared for the model.
    """

    def __init__(self, model: nn.Module, data: SweepData, clock: str = 'wall',
                 repeats: int = 40, timed_videos: int = 8, device: str = 'cpu',
                 prices: Sequence[str] = ('tower', ), compile: bool = False) -> None:
        check_choice('clock', clock, CLOCKS)
        if clock == 'process' and (torch.get_num_threads() != 1 or device != 'cpu'):
            raise InputError('CPU time is comparable on one CPU thread only, got '
                             f'{torch.get_num_threads()} threads on {device}')
        self.model, self.data = model.to(device), data
        self.device = device
        inputs = self._inputs(model, (data.test or data.clips)[0])
        timed = {name: x[:timed_videos] for name, x in inputs.items()
                 if name in ('imgs', 'frame_mask')}
        self._prices = partial(
            measure_prices, twin=self.model, inputs=timed, prices=prices,
            repeats=repeats, clock=CLOCKS[clock],
            backend='inductor' if compile else None)
        self.text, self.samples = self._captions()
        self.videos = {part: self._encode(model, part) for part in ('test', 'clips')}

    @torch.no_grad()
    def _captions(self) -> tuple[dict[str, Tensor], list[ActionDataSample]]:
        """Encode the captions, which no reducer changes, and check them."""
        samples = [sample for batch in self.data.test
                   for sample in self.model.test_step(batch)]
        if not samples:
            return {}, []
        parts = [sample.text_features for sample in samples]
        return {name: torch.cat([part[name] for part in parts]).cpu()
                for name in parts[0]}, samples

    @staticmethod
    def _inputs(model: nn.Module, batch: dict) -> dict[str, Tensor]:
        return model.data_preprocessor(batch)['inputs']

    @torch.no_grad()
    def _encode(self, model: nn.Module, part: str) -> dict[str, Tensor]:
        """Return a model's features of the test videos, or of the clips."""
        batches = [model.head.video_features(*model.encode_video(
            self._inputs(model, batch))) for batch in getattr(self.data, part)]
        return {name: torch.cat([batch[name] for batch in batches]).cpu()
                for name in (batches[0] if batches else ())}

    def measure(self, model: nn.Module | None = None,
                trained: bool = False) -> dict[str, float]:
        """Measure a model of the same weights with necks, or the twin itself.

        Args:
            model (nn.Module, optional): From :func:`with_necks`. Defaults to
                None: the twin.
            trained (bool): Whether the weights come from a training with the
                necks; the features without are no reference then.
                Defaults to False.

        Returns:
            dict[str, float]: Of the test data the metrics of
            :func:`evaluate_features`; of both data ``test/cosine``,
            ``test/neighbors`` and so on, see :func:`fidelity`, if a video has
            one vector; and those of :func:`measure_prices`, beside the twin.
        """
        model = self.model if model is None else model.to(self.device)
        figures: dict[str, float] = {}
        for part, whole in self.videos.items():
            if not whole:
                continue
            videos = self._encode(model, part)
            if part == 'test':
                figures.update(self._retrieval(model, videos))
            if 'video' in whole and not trained:
                figures.update((f'{part}/{name}', value) for name, value in
                               fidelity(videos['video'], whole['video']).items())
        return {**figures, **self._prices(model)}

    def _retrieval(self, model: nn.Module, videos: dict[str, Tensor]
                   ) -> dict[str, float]:
        counts = torch.tensor([len(sample.captions) for sample in self.samples])
        features = RetrievalFeatures(
            videos, self.text, torch.arange(len(counts)).repeat_interleave(counts),
            [sample.filename for sample in self.samples],
            [caption for sample in self.samples for caption in sample.captions],
            self.data.paragraph)
        return evaluate_features(features, choose_scorer(features, model.head))
