"""Time the stages of data pipelines on the same videos, in turns."""
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmengine.dataset import pseudo_collate
from mmengine.hub import get_config
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmaction_centerclip.datasets import sample_rng, stack_in_worker
from mmaction_centerclip.errors import config_errors
from mmaction_centerclip.utils.pipelines import step_type

from .measure import synchronize

STAGES = ('open', 'sample', 'decode', 'resize', 'tokenise', 'pack', 'collate',
          'transfer')
PASSES = 3  # over the videos in a turn
MMACTION2_CONFIG = ('mmaction::retrieval/clip4clip/clip4clip_vit-base-p32-res224-'
                    'clip-pre_8xb16-u12-5e_msrvtt-9k-rgb.py')
CAPTION = 'a man is playing the guitar on a stage'


@dataclass
class Pipeline:
    """A data pipeline, its transforms' configs, and the videos that it reads."""
    name: str
    steps: list[dict]
    files: list[str]

    def __post_init__(self) -> None:
        with config_errors(f'the pipeline {self.name}'):
            self.transforms = [TRANSFORMS.build(step) for step in self.steps]
        self.stages = [stage_of(step) for step in self.steps]

    def run(self, index: int, seed: int) -> tuple[dict, dict[str, float]]:
        """Run it on a file: the sample, and milliseconds of CPU time of each stage."""
        results = dict(filename=self.files[index], start_index=0, modality='RGB',
                       text=[CAPTION])
        spent, frames = dict.fromkeys(STAGES, 0.), None
        with sample_rng(seed, index):
            for transform, stage in zip(self.transforms, self.stages):
                start = time.process_time()
                results = transform(results)
                spent[stage] += 1e3 * (time.process_time() - start)
                frames = results.get('frame_inds', frames)
        return dict(results, frame_inds=np.ravel(frames)), spent


def stage_of(step: dict) -> str:
    """Name the stage that a transform belongs to."""
    kind = step_type(step)
    for ending, stage in (('Init', 'open'), ('Decode', 'decode'),
                          ('Tokenize', 'tokenise'),
                          ('FormatShape', 'pack'), ('PackActionInputs', 'pack')):
        if kind.endswith(ending):
            return stage
    return 'sample' if 'clip_len' in step else 'resize'


def stock_pipeline(steps: list[dict]) -> list[dict]:
    """Return the zoo's CLIP4Clip pipeline, with sampling and tokenizer of ``steps``."""
    own = {stage_of(step): step for step in steps}
    stock = []
    for step in get_config(MMACTION2_CONFIG).test_pipeline:
        stage = stage_of(step)
        if stage in ('sample', 'tokenise'):
            step = own[stage] if stage in own else None
        if step is not None:
            stock.append(dict(step))
    return stock


def time_stages(pipelines: Sequence[Pipeline], repeats: int,
                device: str = 'cpu') -> dict[str, list[dict[str, float]]]:
    """Time each stage of each pipeline on each video, in turns.

    For each pipeline and video, medians of stages and their ``total`` in milliseconds
    of CPU time, but of wall time for ``transfer``. Each of ``repeats`` turns is three
    passes over the videos, after one that is not counted.
    """
    times = {pipeline.name: [[] for _ in pipeline.files] for pipeline in pipelines}
    for turn in range(repeats + 1):
        first = turn % len(pipelines)  # another one each time
        for pipeline in [*pipelines[first:], *pipelines[:first]]:
            # As a worker runs it, which does nothing else: so much of the work
            # is to copy that what another leaves in the caches counts.
            for index in [*range(len(pipeline.files))] * PASSES:
                sample, spent = pipeline.run(index, seed=0)
                _finish(sample, spent, device)
                spent['total'] = sum(spent.values())
                if turn:
                    times[pipeline.name][index].append(spent)
    return {name: [{stage: statistics.median(call[stage] for call in calls)
                    for stage in (*STAGES, 'total')} for calls in videos]
            for name, videos in times.items()}


def _finish(sample: dict, spent: dict[str, float], device: str) -> None:
    """Collate a batch of one sample, and move it to the device."""
    start = time.process_time()
    batch = stack_in_worker([{k: sample[k] for k in ('inputs', 'data_samples')}])
    imgs = torch.stack(batch['inputs']['imgs'])
    spent['collate'] += 1e3 * (time.process_time() - start)
    if device != 'cpu':
        synchronize()
        start = time.perf_counter()
        imgs.to(device)
        synchronize()
        spent['transfer'] += 1e3 * (time.perf_counter() - start)


def read_samples(pipeline: Pipeline) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the numbers and the pictures of the frames of each video."""
    for index in range(len(pipeline.files)):
        sample, _ = pipeline.run(index, seed=0)
        yield sample['frame_inds'].tolist(), sample['inputs']['imgs']


class _Epoch(Dataset):
    """The videos of a pipeline, each ``rounds`` times."""

    def __init__(self, pipeline: Pipeline, rounds: int) -> None:
        self.pipeline, self.rounds = pipeline, rounds

    def __len__(self) -> int:
        return self.rounds * len(self.pipeline.files)

    def __getitem__(self, index: int) -> dict:
        sample, _ = self.pipeline.run(index % len(self.pipeline.files), seed=0)
        return {key: sample[key] for key in ('inputs', 'data_samples')}


def loader_rates(pipelines: Sequence[Pipeline], workers: int, batch_size: int,
                 rounds: int, repeats: int) -> dict[str, float]:
    """Return the samples that a data loader gives in a second of wall time.

    The median of ``repeats`` epochs, each video ``rounds`` times, after one uncounted.
    """
    loaders = {pipeline.name: DataLoader(
        _Epoch(pipeline, rounds), batch_size, num_workers=workers,
        persistent_workers=workers > 0, collate_fn=pseudo_collate if
        pipeline.name == 'stock' else stack_in_worker)
        for pipeline in pipelines}
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(repeats + 1):
        for name, loader in loaders.items():
            start = time.perf_counter()
            for _ in loader:
                pass
            if turn:
                rates[name].append(len(loader.dataset) / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}
