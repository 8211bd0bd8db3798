"""Compare an exported folder with its model on videos and on a test set."""
import os
from collections.abc import Iterator

import torch
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.deployment.checks import (
    compare_texts,
    compare_times,
    compare_videos,
)
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import RetrievalEvaluation, RetrievalFeatures

from .folders import list_files
from .video_pipeline import VideoPipeline

MOST_VIDEOS = 50
BATCHES = 1, 3  # Other than the exporter has seen.


def read_frames(model: nn.Module, folder: str | os.PathLike) -> dict[str, Tensor]:
    """Read the first videos of a folder as ``frames`` and ``frame_mask``."""
    pipeline, samples = VideoPipeline(model.cfg), []
    for path in list_files(folder)[0]:
        try:
            samples.append(pipeline.prepare(pipeline.open(path))['inputs'])
        except DecodingError:
            continue
        if len(samples) == MOST_VIDEOS:
            break
    if not samples:
        raise InputError(f'{folder} has no video that can be read')
    frames = torch.stack([sample['imgs'] for sample in samples])
    masks = [sample.get('frame_mask') for sample in samples]
    if masks[0] is None:
        return dict(frames=frames,
                    frame_mask=torch.ones(frames.shape[:2], dtype=torch.bool))
    return dict(frames=frames, frame_mask=torch.stack(masks))


def check_export(model: nn.Module, folder: str | os.PathLike,
                 videos: str | os.PathLike | None = None,
                 recall: bool = False) -> Iterator[str]:
    """Yield lines that tell how far a folder is from its model, which is on the CPU.

    Of noise as frames and of captions, in batches of 1 and 3; of ``videos``; in time;
    and with ``recall`` on the test set of the config.
    """
    exported = OnnxRetriever(folder, 'cpu')
    pipeline = VideoPipeline(model.cfg)
    shape = pipeline.prepare(pipeline.open(torch.zeros(
        2, 64, 64, 3, dtype=torch.uint8).numpy()))['inputs']['imgs'].shape
    generator = torch.Generator().manual_seed(0)
    for count in BATCHES:
        noise = torch.randint(256, (count, *shape), generator=generator,
                              dtype=torch.uint8)
        yield f'{count} of noise: {compare_videos(model, exported, noise)}'
    if videos is not None:
        read = read_frames(model, videos)
        found = compare_videos(model, exported, read['frames'], read['frame_mask'])
        yield f'{len(read["frames"])} videos: {found}'
    ids, _ = pipeline.tokenize(['a dog', 'two people cook in a kitchen', 'snow'])
    yield f'captions: {compare_texts(model, exported, ids)}'
    own, theirs = compare_times(model, exported, noise[:1])
    yield (f'a video takes {theirs * 1e3:.1f} ms, torch {own * 1e3:.1f} ms '
           f'({theirs / own:.2f}), on {torch.get_num_threads()} threads')
    if recall:
        rows = [figures_of(model, which) for which in (model, exported)]
        yield from (f'{name}: {theirs:.1f}, torch {own:.1f}'
                    for (name, own), theirs in zip(rows[0].items(), rows[1].values())
                    if name.split('/')[-1].startswith('R'))


@torch.no_grad()
def figures_of(model: nn.Module, encoder: nn.Module | OnnxRetriever,
                 batch_size: int = 16) -> dict[str, float]:
    """Return the figures of a model's test set, encoded by it or its export."""
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    videos, texts, captions, owners, names = [], [], [], [], []
    for start in range(0, len(dataset), batch_size):
        data = encoder.data_preprocessor(pseudo_collate([
            dataset[i] for i in range(start, min(start + batch_size, len(dataset)))]),
            False)
        inputs = data['inputs']
        videos.append(encoder.video_features(inputs)['video'].float())
        texts.append(encoder.text_features(inputs['text'])['text'].float())
        for sample in data['data_samples']:
            owners += [len(names)] * len(sample.captions)
            captions += sample.captions
            names.append(str(len(names)))
    features = RetrievalFeatures(
        dict(video=torch.cat(videos)), dict(text=torch.cat(texts)),
        torch.tensor(owners), names, captions)
    return RetrievalEvaluation()(features)
