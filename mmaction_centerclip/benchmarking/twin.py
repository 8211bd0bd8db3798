"""Measure reducers in a trained model, beside the same model without."""
import copy
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmaction.registry import DATASETS, MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmaction_centerclip.errors import (
    InputError,
    check_choice,
    check_positive_int,
    config_errors,
)
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    Scores,
    chance_of_finding,
    choose_scorer,
)
from mmaction_centerclip.utils.weights import load_strictly

from .measure import check_cpu_time
from .models import clip_frames, frame_size, read_clips
from .pairs import measure_pair

CLOCKS = dict(wall=time.perf_counter, process=time.process_time)
BATCH_SIZE = 32  # of what is not timed


class Prices(NamedTuple):
    """Figures to count and time, see :func:`measure_pair`."""
    price: Sequence[str] = ('tower', )  # of ``PRICES``
    clock: str = 'wall'  # or 'process', the time of one CPU thread
    repeats: int = 40
    batch_size: int = 8  # videos of a timed call
    device: str = 'cpu'
    compile: bool = False


def read_test_set(cfg: Config) -> tuple[Iterator[dict], bool]:
    """Return the samples of a config's test data, and if captions are paragraphs.

    They are decoded as they are taken; one that cannot be is an InputError.
    """
    with config_errors('test_dataloader'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)

    def read() -> Iterator[dict]:
        for sample in map(dataset.__getitem__, range(len(dataset))):
            meta = sample['data_samples']
            if meta.get('missing', False):
                raise InputError(f'{meta.filename}: {meta.reason}')
            yield sample

    return read(), dataset.metainfo.get('paragraph', False)


def join_features(videos: dict[str, Tensor], texts: dict[str, Tensor],
                  samples: Sequence[ActionDataSample], paragraph: bool
                  ) -> RetrievalFeatures:
    """Return features of samples, in their order, as evaluations take them."""
    counts = torch.tensor([len(sample.captions) for sample in samples])
    return RetrievalFeatures(
        videos, texts, torch.arange(len(counts)).repeat_interleave(counts),
        [sample.filename for sample in samples],
        [caption for sample in samples for caption in sample.captions], paragraph)


class TwinData(NamedTuple):
    """Batches of test data and of clips that all models see, decoded once."""
    test: list[dict]
    clips: list[dict]
    paragraph: bool = False

    @classmethod
    def read(cls, cfg: Config, model: nn.Module, retrieval: bool, videos: str | None,
             clips: int) -> 'TwinData':
        """Decode what a config's models are measured on, see :class:`Quality`."""
        samples, more, paragraph = [], [], False
        if retrieval:
            found, paragraph = read_test_set(cfg)
            samples = list(found)
        if videos:
            words = torch.zeros(1, 1, dtype=torch.long)  # nobody reads them
            more = [dict(inputs=dict(imgs=clip, text=words),
                         data_samples=ActionDataSample()) for clip in read_clips(
                             videos, clips, clip_frames(cfg),
                             frame_size(cfg, model)[0])]
        if not samples and not more:
            raise InputError('there is neither test data nor a clip to measure')
        return cls(*([pseudo_collate(part[i:i + BATCH_SIZE])
                      for i in range(0, len(part), BATCH_SIZE)]
                     for part in (samples, more)), paragraph)


class MeasuredTwin:
    """A trained retriever without necks, and the features that it gives."""

    def __init__(self, model: nn.Module, data: TwinData, prices: Prices) -> None:
        check_choice('clock', prices.clock, CLOCKS)
        if prices.clock == 'process':
            check_cpu_time(prices.device)
        self.model, self.data, self.prices = model.to(prices.device), data, prices
        self.text, self.samples = self._captions()
        self.counts = [len(sample.captions) for sample in self.samples]
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

    @torch.no_grad()
    def _encode(self, model: nn.Module, part: str) -> dict[str, Tensor]:
        """Return a model's features of the test videos, or of the clips."""
        batches = [model.head.video_features(*model.encode_video(
            model.data_preprocessor(batch)['inputs']))
            for batch in getattr(self.data, part)]
        return {name: torch.cat([batch[name] for batch in batches]).cpu()
                for name in (batches[0] if batches else ())}

    def _with_necks(self, necks: Sequence[dict]) -> nn.Module:
        """Build the same model with necks, and the twin's weights."""
        config = copy.deepcopy(self.model.cfg.model)
        config.backbone.necks = list(necks)
        model = MODELS.build(config).eval()
        load_strictly(model, self.model.state_dict(), 'the model without necks, which '
                      'lacks what a reducer learns in training,')
        return model

    def measure(self, necks: Sequence[dict], trained: nn.Module | None = None
                ) -> tuple[dict[str, float], dict[str, list]]:
        """Measure the model with necks, or as it is, beside the twin.

        Returns figures, those of an evaluation, of :func:`measure_pair` and, if a video
        has one vector, of :func:`fidelity`, as ``test/cosine``; and by direction what
        R@1 is the mean of, for each video a list of its queries. A model ``trained``
        with its necks has no fidelity: the features without them are no reference.
        """
        model = trained or (self._with_necks(necks) if necks else self.model)
        model, figures, found = model.to(self.prices.device), {}, {}
        for part, whole in self.videos.items():
            if not whole:
                continue
            videos = self._encode(model, part)
            if part == 'test':
                scores = self._scores(model, videos)
                figures.update(scores.figures())
                found = {direction: self._by_video(direction, chance_of_finding(counts))
                         for direction, counts in scores.counts.items()}
            if 'video' in whole and trained is None:
                figures.update((f'{part}/{name}', value) for name, value in
                               fidelity(videos['video'], whole['video']).items())
        batch = (self.data.test or self.data.clips)[0]
        inputs = {name: x[:self.prices.batch_size] for name, x in
                  self.model.data_preprocessor(batch)['inputs'].items()
                  if name in ('imgs', 'frame_mask')}
        if len(inputs['imgs']) < self.prices.batch_size:
            raise InputError(f'batch_size must be at most {len(inputs["imgs"])}, the '
                             'videos that are held as one batch, got '
                             f'{self.prices.batch_size}')
        price, clock, repeats, _, _, compiled = self.prices
        return {**figures, **measure_pair(
            model, self.model, inputs, price, repeats, CLOCKS[clock],
            backend='inductor' if compiled else None)}, found

    def _by_video(self, direction: str, found: Tensor) -> list[list[float]]:
        return [each.tolist() for each in found.split(
            self.counts if direction == 't2v' else 1)]

    def _scores(self, model: nn.Module, videos: dict[str, Tensor]) -> Scores:
        features = join_features(videos, self.text, self.samples, self.data.paragraph)
        return Scores(features, choose_scorer(features, model.head))


def fidelity(reduced: Tensor, whole: Tensor, neighbors: int = 10) -> dict[str, float]:
    """Compare features (videos, E) of the same videos with and without a reducer.

    By the mean ``cosine`` and, of more videos than neighbours, ``neighbors``, see
    :func:`neighbor_agreement`.
    """
    if reduced.shape != whole.shape or whole.ndim != 2:
        raise InputError('features with and without a reducer must be of one shape '
                         f'(videos, E), got {tuple(reduced.shape)} and '
                         f'{tuple(whole.shape)}')
    if not (reduced.isfinite().all() and whole.isfinite().all()):
        raise InputError('features of videos must be finite, got NaN or infinity')
    cosine = F.cosine_similarity(reduced.double(), whole.double()).mean().item()
    if len(whole) <= neighbors:
        return dict(cosine=cosine)
    return dict(cosine=cosine, neighbors=neighbor_agreement(reduced, whole, neighbors))


def neighbor_agreement(reduced: Tensor, whole: Tensor, neighbors: int = 10) -> float:
    """Return how many of a video's nearest neighbours stay, in per cent.

    Those of the reduced features (videos, E) are by cosine; of equal ones the first.
    """
    check_positive_int('neighbors', neighbors)
    if len(whole) <= neighbors:
        raise InputError(f'{neighbors} nearest neighbours need at least '
                         f'{neighbors + 1} videos, got {len(whole)}')
    found = []
    for features in (reduced, whole):
        unit = F.normalize(features.double(), dim=-1)
        similarity = (unit @ unit.T).fill_diagonal_(-torch.inf)
        order = similarity.argsort(dim=-1, descending=True, stable=True)
        mask = torch.zeros_like(similarity, dtype=torch.bool)
        found.append(mask.scatter_(1, order[:, :neighbors], True))
    return 100 * (found[0] & found[1]).sum().item() / (neighbors * len(whole))
