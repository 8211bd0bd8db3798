"""Compare an exported folder with its model: features, time, and recalls."""
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmaction_centerclip.apis import VideoPipeline, list_files
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.deployment.programs import TextEncoder, VideoEncoder
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import RetrievalEvaluation

from .measure import median_ratio, time_turns
from .twin import join_features, read_test_set

MOST_VIDEOS = 50
BATCHES = 1, 3  # Other than the exporter has seen.
BATCH_SIZE = 16  # of the test set


@dataclass(frozen=True)
class Difference:
    """How far features are from those of torch."""
    largest: float  # difference of a value, as a share of the largest value
    cosine: float  # of the two features of a video or caption, the lowest

    def __str__(self) -> str:
        return (f'largest difference {self.largest:.1e} of the largest value, lowest '
                f'cosine {self.cosine:.5f}')


def difference(got: Tensor, expected: Tensor) -> Difference:
    """Compare features (N, E) with those that are expected."""
    expected = expected.float()
    cosine = torch.cosine_similarity(got, expected, dim=-1).min()
    largest = (got - expected).abs().max() / expected.abs().max()
    return Difference(float(largest), float(cosine))


@torch.no_grad()
def compare_videos(model: nn.Module, exported: OnnxRetriever, imgs: Tensor,
                   frame_mask: Tensor | None = None) -> Difference:
    """Compare the segments of frames, uint8 (B, T, 3, H, W)."""
    if frame_mask is None:
        frame_mask = torch.ones(imgs.shape[:2], dtype=torch.bool)
    _, segments, *_ = VideoEncoder(model)(imgs, frame_mask)
    got = exported.encode(dict(imgs=imgs, frame_mask=frame_mask))['segments']
    return difference(got.flatten(0, 1), segments.flatten(0, 1))


@torch.no_grad()
def compare_texts(model: nn.Module, exported: OnnxRetriever, ids: Tensor) -> Difference:
    """Compare captions of token ids, int64 (C, L)."""
    return difference(exported.text_features(ids)['text'], TextEncoder(model)(ids))


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
    generator = torch.Generator().manual_seed(0)
    for count in BATCHES:
        noise = torch.randint(256, (count, *exported.frame_shape), generator=generator,
                              dtype=torch.uint8)
        yield f'{count} of noise: {compare_videos(model, exported, noise)}'
    if exported.any_count:
        longer = torch.cat([noise, noise.flip(1)], dim=1)
        yield (f'{longer.shape[1]} frames of noise: '
               f'{compare_videos(model, exported, longer)}')
    if videos is not None:
        read = read_frames(model, videos)
        found = compare_videos(model, exported, read['frames'], read['frame_mask'])
        yield f'{len(read["frames"])} videos: {found}'
    ids, _ = VideoPipeline(model.cfg).tokenize(
        ['a dog', 'two people cook in a kitchen', 'snow'])
    yield f'captions: {compare_texts(model, exported, ids)}'
    encoder, clip = VideoEncoder(model), noise[:1]
    mask = torch.ones(clip.shape[:2], dtype=torch.bool)
    times = time_turns(dict(
        own=lambda: encoder(clip, mask),
        theirs=lambda: exported.encode(dict(imgs=clip, frame_mask=mask))), repeats=5)
    own, theirs = (statistics.median(times[name]) for name in ('own', 'theirs'))
    yield (f'a video takes {theirs:.1f} ms, torch {own:.1f} ms '
           f'({median_ratio(times["theirs"], times["own"]):.2f}), on '
           f'{torch.get_num_threads()} threads')
    if recall:
        yield from _compare_recalls(model, exported)


@torch.no_grad()
def _compare_recalls(model: nn.Module, exported: OnnxRetriever) -> Iterator[str]:
    """Encode the test set by both, each video decoded once."""
    read, paragraph = read_test_set(model.cfg)
    samples, features = [], {each: ([], []) for each in (model, exported)}
    while part := list(islice(read, BATCH_SIZE)):
        batch = pseudo_collate(part)
        samples += batch['data_samples']
        for each, (videos, texts) in features.items():
            inputs = each.data_preprocessor(batch, False)['inputs']
            videos.append(each.video_features(inputs)['video'].float())
            texts.append(each.text_features(inputs['text'])['text'].float())
    own, theirs = (RetrievalEvaluation()(join_features(
        dict(video=torch.cat(videos)), dict(text=torch.cat(texts)), samples, paragraph))
        for videos, texts in features.values())
    yield from (f'{name}: {theirs[name]:.1f}, torch {own[name]:.1f}' for name in own
                if name.split('/')[-1].startswith('R'))
