"""Videos with their captions, from MMAction2's retrieval annotations."""
import json
import logging
import os.path as osp
from collections.abc import Callable

import numpy as np
import torch
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from mmengine.fileio import exists
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError

from .sample_rng import sample_rng

__all__ = ['VideoTextRetrievalDataset']


@DATASETS.register_module()
class VideoTextRetrievalDataset(BaseActionDataset):
    """Text-video pairs to train on, videos with all captions to evaluate.

    Reads the JSON of MMAction2's ``tools/data/video_retrieval``::

        {"video7010.mp4": ["a girl wearing red top ...", ...], ...}

    In evaluation (``test_mode=True``) a sample is a video with all its
    captions, so that a video is decoded and encoded once. A video that cannot
    be decoded is replaced by another one in training, and noted on the sample
    as ``skipped``; in evaluation the sample says ``missing``, and the metric
    decides whether to go on.

    Args:
        ann_file (str): The annotation file, relative to ``data_root``.
        pipeline (list[dict | Callable]): Transforms. They find ``filename``
            and ``text``, a list of captions.
        data_prefix (dict): ``video``: the folder of the videos.
        captions (str): In training, ``'random'``: a sample is a video with a
            caption drawn anew every epoch; ``'all'``: a sample is a pair, as
            in the paper; ``'paragraph'``, in evaluation too: all captions of
            a video, in their order, are one. Defaults to ``'random'``.
        test_mode (bool): Whether to evaluate. Defaults to False.
        max_refetch (int): Videos to try in place of unreadable ones before
            giving up. Defaults to 20.
        **kwargs: As for ``BaseActionDataset``.

    Raises:
        InputError: If the annotation file is missing or not of that form, or
            names no video that exists.
    """

    def __init__(self,
                 ann_file: str,
                 pipeline: list[dict | Callable],
                 data_prefix: dict | None = None,
                 captions: str = 'random',
                 test_mode: bool = False,
                 max_refetch: int = 20,
                 **kwargs) -> None:
        if captions not in ('random', 'all', 'paragraph'):
            raise InputError("captions must be 'random', 'all' or 'paragraph', "
                             f'got {captions!r}')
        self.captions = captions
        if captions == 'paragraph':
            kwargs['metainfo'] = dict(
                kwargs.get('metainfo') or {}, paragraph=True)
        # Shared with persistent workers: [seed, epoch], -1 for unseeded.
        self._rng_key = torch.full((2, ), -1).share_memory_()
        super().__init__(
            ann_file,
            pipeline=pipeline,
            data_prefix=data_prefix or dict(video=''),
            test_mode=test_mode,
            max_refetch=max_refetch,
            **kwargs)

    def set_epoch(self, seed: int, epoch: int) -> None:
        """Make what samples draw depend on seed, epoch and index only."""
        self._rng_key[0], self._rng_key[1] = seed, epoch

    def load_data_list(self) -> list[dict]:
        """Read the annotation file into samples."""
        videos = self._read_annotations()
        samples = []
        for name, captions in videos.items():
            if self.captions == 'paragraph':
                captions = [' '.join(captions)]
            filename = osp.join(self.data_prefix['video'], name)
            if self.test_mode or self.captions == 'random':
                samples.append(dict(filename=filename, text=captions))
            else:
                samples += [
                    dict(filename=filename, text=[text]) for text in captions
                ]
        if not any(exists(sample['filename']) for sample in samples):
            raise InputError(
                f'{self.ann_file}: none of its {len(videos)} videos exists, '
                f'such as {samples[0]["filename"]}; expected them under '
                f'data_prefix video={self.data_prefix["video"]!r}')
        return samples

    def _read_annotations(self) -> dict[str, list[str]]:
        """Captions of each video, empty ones dropped and counted."""
        if not osp.isfile(self.ann_file):
            raise InputError(f'annotation file not found: {self.ann_file}')
        try:
            with open(self.ann_file, encoding='utf-8') as file:
                videos = json.load(file)
        except ValueError as error:
            raise InputError(f'{self.ann_file} is not JSON: {error}') from None
        if not isinstance(videos, dict) or not videos or not all(
                isinstance(captions, list) and all(
                    isinstance(text, str) for text in captions)
                for captions in videos.values()):
            raise InputError(
                f'{self.ann_file} must map video files to lists of captions, '
                'such as {"video0.mp4": ["a caption", ...]}')
        kept = {
            name: [text for text in captions if text.strip()]
            for name, captions in videos.items()
        }
        self._warn_of_empty(videos, kept)
        return {name: captions for name, captions in kept.items() if captions}

    def _warn_of_empty(self, videos: dict, kept: dict) -> None:
        affected = [n for n in videos if len(videos[n]) > len(kept[n])]
        bare = [name for name in videos if not kept[name]]
        if len(bare) == len(videos):
            raise InputError(f'{self.ann_file}: none of its {len(videos)} '
                             'videos has a caption that is not empty')
        if affected:
            dropped = sum(len(videos[n]) - len(kept[n]) for n in affected)
            print_log(
                f'{self.ann_file}: dropped {dropped} empty captions of '
                f'{len(affected)} videos, the first being {affected[0]}',
                'current', logging.WARNING)
        if bare:
            print_log(
                f'{self.ann_file}: dropped {len(bare)} videos without a '
                f'caption, the first being {bare[0]}', 'current',
                logging.WARNING)

    def __getitem__(self, idx: int) -> dict:
        """A sample after the pipeline."""
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
        meta = dict(
            sample_idx=idx,
            filename=info['filename'],
            captions=list(info['text']),
            missing=False)
        data = self._run_pipeline(info)
        if isinstance(data, str):
            sample = ActionDataSample()
            meta.update(missing=True, reason=data)
            # The keys of the other samples, which are collated with it.
            keys = getattr(self.pipeline.transforms[-1], 'collect_keys', None)
            data = dict(
                inputs=dict.fromkeys(keys or ('imgs', 'text')),
                data_samples=sample)
        meta['num_truncated'] = info.get('num_truncated', 0)
        data['data_samples'].set_metainfo(meta)
        return data

    def _training_sample(self, idx: int) -> dict:
        # Drawn before anything can fail, so that a failure shifts no draw.
        replacements = np.random.randint(len(self), size=self.max_refetch)
        skipped = []
        for index in (idx, *replacements):
            info = self.get_data_info(int(index))
            if self.captions == 'random':
                drawn = np.random.randint(len(info['text']))
                info['text'] = [info['text'][drawn]]
            meta = dict(
                sample_idx=int(index),
                filename=info['filename'],
                captions=list(info['text']),
                skipped=skipped)
            data = self._run_pipeline(info)
            if not isinstance(data, str):
                meta['num_truncated'] = info.get('num_truncated', 0)
                data['data_samples'].set_metainfo(meta)
                return data
            skipped.append((meta['filename'], data))
        raise InputError(
            f'{self.ann_file}: {len(skipped)} videos in turn cannot be read, '
            f'the last being {skipped[-1][0]}: {skipped[-1][1]}')

    def _run_pipeline(self, info: dict) -> dict | str:
        """The packed sample, or why the video cannot be read."""
        filename = info['filename']
        if osp.isfile(filename) and osp.getsize(filename) == 0:
            return 'the file is empty'
        try:
            return self.pipeline(info)
        except FileNotFoundError:
            return 'no such file'
        except OSError as error:
            return f'cannot be read ({_first_line(error)})'
        except Exception as error:
            if not _is_decoding_error(error):
                raise
            return f'cannot be decoded ({_first_line(error)})'


def _is_decoding_error(error: Exception) -> bool:
    """Whether decord raised it, which has two ways to.

    Anything else is a mistake in the pipeline, and no fault of the video.
    """
    return type(error).__module__.startswith('decord') or (
        isinstance(error, RuntimeError)
        and str(error).startswith('Error reading'))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
