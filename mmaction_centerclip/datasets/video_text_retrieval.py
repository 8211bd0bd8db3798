"""Videos with their captions, from an annotation file."""
import hashlib
import inspect
import os.path as osp
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS, TRANSFORMS
from mmaction.structures import ActionDataSample
from mmengine.fileio import exists

from mmaction_centerclip.annotations import read_entries
from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.utils.files import expand_home, same_video
from mmaction_centerclip.utils.option_types import NotNegativeInt

from .caching.feature_cache import FeatureCache, recipe_of
from .samples import SamplePipeline, sample_rng
from .video.decoding_errors import DecodingError, decoding_errors


@DATASETS.register_module()
class VideoTextRetrievalDataset(BaseActionDataset):
    """Text-video pairs to train on, videos with all captions to evaluate.

    Reads the JSON of MMAction2's ``tools/data/video_retrieval``, lists of captions by
    video, and that of this project's ``tools/data``, in which an entry may be a clip of
    a video: only its frames are sampled.

    In evaluation a sample is a video with all its captions, so that a video is decoded
    and encoded once. A video that cannot be decoded is replaced by another one in
    training, and noted on the sample as ``skipped``; in evaluation the sample says
    ``missing``, and the metric decides whether to go on.

    Args:
        pipeline (list[dict | Callable]): It finds ``filename`` and ``text``, a list.
        data_prefix (dict): ``video``: the folder of the videos.
        captions (str): In training, ``'random'``: a sample is a video with a caption
            drawn anew every epoch; ``'all'``: a sample is a pair, as in the paper;
            ``'paragraph'``, in evaluation too: all captions of a video, in order, are
            one.
        mask_repeats (bool, optional): Whether training samples say which video and
            caption they have, ``pair_ids``, by which the losses of this package leave
            out pairs that repeat one within a batch, over all processes. Captions are
            the same whatever their case and spaces. None: where a video has several
            samples. (In the papers all other pairs are negatives: False.)
        features (str, optional): A file of ``tools/data/cache_features.py`` to train
            heads from. The pipeline says of which frames, and must draw nothing at
            random.
    """

    def __init__(self, ann_file: str, pipeline: list[dict | Callable],
                 data_prefix: dict | None = None,
                 captions: Literal['random', 'all', 'paragraph'] = 'random',
                 test_mode: bool = False, mask_repeats: bool | None = None,
                 features: str | None = None,
                 max_refetch: NotNegativeInt = 20, **kwargs) -> None:
        self.captions, self.mask_repeats = captions, mask_repeats
        if not pipeline:
            raise InputError('pipeline must be a list of transforms that is not empty, '
                             f'got {pipeline!r}')
        for transform in pipeline:
            check_sampling(transform, test_mode)
        self.features = None
        if features is not None:
            if test_mode:
                raise InputError('features are to train with, an evaluation reads '
                                 f'videos; got {features!r}')
            self.features = FeatureCache(features, recipe_of(pipeline))
        if captions == 'paragraph':
            kwargs['metainfo'] = dict(kwargs.get('metainfo') or {}, paragraph=True)
        # Shared with persistent workers: [seed, epoch], -1 for unseeded.
        self._rng_key = torch.full((2, ), -1).share_memory_()
        super().__init__(expand_home(ann_file), pipeline=pipeline, test_mode=test_mode,
                         data_prefix=expand_home(dict(data_prefix or dict(video=''))),
                         max_refetch=max_refetch, **expand_home(kwargs))
        self.pipeline = SamplePipeline(self.pipeline.transforms)

    def set_epoch(self, seed: int, epoch: int) -> None:
        """Make what samples draw depend on seed, epoch and index only."""
        self._rng_key[0], self._rng_key[1] = seed, epoch

    def load_data_list(self) -> list[dict]:
        """Read the annotation file into samples, of which some video exists."""
        samples = self.list_samples()
        if not any('://' in sample['filename'] or exists(sample['filename'])
                   for sample in samples):
            videos = len({sample['filename'] for sample in samples})
            raise InputError(
                f'{self.ann_file}: none of its {videos} videos exists, '
                f'such as {samples[0]["filename"]}; expected them under '
                f'data_prefix video={self.data_prefix["video"]!r}')
        self.num_videos = len({
            (sample['filename'], sample.get('clip')) for sample in samples})
        if self.mask_repeats is None:
            self.mask_repeats = self.num_videos < len(samples)
        return samples

    def list_samples(self) -> list[dict]:
        """Read the annotation file into samples, whatever there is of videos."""
        entries = read_entries(self.ann_file)
        samples, known = [], {}
        for entry in entries:
            name, captions = entry.video, entry.captions
            if self.captions == 'paragraph':
                captions = [' '.join(captions)]
            filename = name if '://' in name else osp.join(
                self.data_prefix['video'], name)
            key = same_video(filename), entry.start or 0, entry.end
            if known.setdefault(key, name) != name:
                raise InputError(f'{self.ann_file}: {known[key]} and {name} are one '
                                 'video; list its captions together')
            clip = dict(filename=filename)
            if (entry.start, entry.end) != (None, None):
                clip['clip'] = entry.start, entry.end
            if self.test_mode or self.captions == 'random':
                samples.append(dict(clip, text=captions))
            else:
                samples += [dict(clip, text=[text]) for text in captions]
        return samples

    def __getitem__(self, idx: int) -> dict:
        if not self._fully_initialized:
            self.full_init()
        if self.test_mode:
            return self._evaluation_sample(idx)
        seed, epoch = self._rng_key.tolist()
        if seed < 0:
            return self._training_sample(idx)
        with sample_rng(seed, epoch, idx):
            return self._training_sample(idx)

    def _evaluation_sample(self, idx: int) -> dict:
        info = self.get_data_info(idx)
        meta = dict(sample_idx=idx, filename=info['filename'],
                    captions=list(info['text']))
        try:
            return self.run_pipeline(info, dict(meta, missing=False))
        except DecodingError as error:
            meta.update(missing=True, reason=error.reason, num_truncated=0)
        # The keys of the other samples, with which it is collated.
        keys = getattr(self.pipeline.transforms[-1], 'collect_keys', None)
        return dict(inputs=dict.fromkeys(keys or ('imgs', 'text')),
                    data_samples=ActionDataSample(metainfo=meta))

    def _training_sample(self, idx: int) -> dict:
        # Drawn before anything can fail, so that a failure shifts no draw.
        replacements = np.random.randint(len(self), size=self.max_refetch)
        skipped = []
        for index in (idx, *replacements.tolist()):
            info = self.get_data_info(index)
            if self.captions == 'random':
                drawn = np.random.randint(len(info['text']))
                info['text'] = [info['text'][drawn]]
            meta = dict(sample_idx=index, filename=info['filename'],
                        captions=list(info['text']), skipped=skipped)
            if self.mask_repeats:
                caption = ' '.join(info['text'][0].casefold().split())
                video = repr((info['filename'], info.get('clip')))
                meta['pair_ids'] = _number_of(video), _number_of(caption)
            try:
                return self.run_pipeline(info, meta)
            except DecodingError as error:
                skipped.append((meta['filename'], error.reason))
        raise InputError(
            f'{self.ann_file}: {len(skipped)} videos in turn cannot be read, '
            f'the last being {skipped[-1][0]}: {skipped[-1][1]}')

    def run_pipeline(self, info: dict, meta: dict) -> dict:
        """Pack a sample, and store ``meta`` on it; the transforms write to ``info``."""
        if self.features:
            sample = ActionDataSample(metainfo=dict(meta, towers=self.features.towers))
            return dict(inputs=self.features.sample(info), data_samples=sample)
        with decoding_errors(info['filename']):  # whatever stands in the pipeline
            data = self.pipeline(info)
        data['data_samples'].set_metainfo(
            dict(meta, num_truncated=info.get('num_truncated', 0),
                 tokenizer=info.get('tokenizer'), resizing=info.get('resizing')))
        return data


def _number_of(text: str) -> int:
    """Return a number of 63 bits that other texts do not have, in any process."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'big') >> 1


def check_sampling(transform: dict | Callable, test_mode: bool) -> None:
    """Refuse a sampling of frames that is another than it seems to be."""
    if not isinstance(transform, dict):
        return
    name = transform.get('type')
    if 'clip_len' in transform:
        check_positive_int(f'{name}: clip_len', transform['clip_len'])
    if transform.get('num_clips', 1) != 1:
        raise InputError(f'{name}: num_clips must be 1, since a video is one clip, '
                         f'got {transform["num_clips"]!r}')
    cls = TRANSFORMS.get(name) if isinstance(name, str) else name
    options = inspect.signature(cls).parameters if cls else ()
    if test_mode and 'test_mode' in options and not transform.get('test_mode'):
        raise InputError(f'{name}: test_mode must be True in an evaluation, whose '
                         'frames are not drawn at random, got '
                         f'{transform.get("test_mode", False)!r}')
