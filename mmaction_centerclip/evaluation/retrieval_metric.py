"""Text-video retrieval as a metric of the zoo."""
import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmaction.registry import METRICS
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmaction_centerclip.errors import InputError

from .functional import TOPK, retrieval_metrics

__all__ = ['VideoTextRetrievalMetric']


@METRICS.register_module()
class VideoTextRetrievalMetric(BaseMetric):
    """Recall and ranks, text-to-video and video-to-text.

    Any number of captions per video; see :func:`retrieval_metrics` for what
    is counted and how ties are. A video that a distributed sampler repeats
    counts once.

    Args:
        topk (tuple[int, ...]): The k of R@k. Defaults to (1, 5, 10).
        allow_missing (bool): Whether to go on without videos that cannot be
            read; the metrics then say how many of all were evaluated.
            Defaults to False: the first one is an error.
        collect_device (str): Not used; features are gathered as objects.
            Defaults to ``'cpu'``.
        prefix (str, optional): Prefix of the names. Defaults to None:
            ``'retrieval'``.

    Raises:
        InputError: If ``topk`` is not of positive integers, or a video is
            missing and ``allow_missing`` is not set.
    """
    default_prefix = 'retrieval'

    def __init__(self,
                 topk: Sequence[int] = TOPK,
                 allow_missing: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not topk or not all(isinstance(k, int) and k > 0 for k in topk):
            raise InputError(f'topk must be positive integers, got {topk!r}')
        self.topk = tuple(topk)
        self.allow_missing = allow_missing

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the features of a batch of videos and their captions."""
        for sample in data_samples:
            result = dict(
                index=sample['sample_idx'], filename=sample['filename'])
            if sample.get('missing', False):
                result['missing'] = sample['reason']
                if not self.allow_missing:
                    raise InputError(
                        f'{sample["filename"]}: {sample["reason"]}. Set '
                        'allow_missing=True of VideoTextRetrievalMetric to '
                        'evaluate without such videos.')
            else:
                result['video'] = sample['video_feature'].float().cpu()
                result['texts'] = sample['text_features'].float().cpu()
                result['truncated'] = sample.get('num_truncated', 0)
            self.results.append(result)

    def evaluate(self, size: int) -> dict:
        """Gather the results of all processes and compute the metrics.

        Args:
            size (int): Length of the dataset.
        """
        # Not collect_results(): it zips the processes' lists and drops what
        # lies beyond the dataset's length, whichever samples those are.
        parts = all_gather_object(self.results)
        metrics: list = [None]
        if is_main_process():
            # The index alone is not unique: datasets may be concatenated.
            unique = {(r['filename'], r['index']): r for part in parts for r in part}
            computed = self.compute_metrics([unique[key] for key in sorted(unique)])
            metrics = [{f'{self.prefix}/{k}': v for k, v in computed.items()}]
        broadcast_object_list(metrics)
        self.results.clear()
        return metrics[0]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics of distinct videos.

        Args:
            results (list[dict]): One a video.

        Returns:
            dict[str, float]: Those of :func:`retrieval_metrics`, and
            ``coverage`` in per cent if videos are missing.
        """
        read = [r for r in results if 'missing' not in r]
        if not read:
            raise InputError(
                f'none of the {len(results)} videos to evaluate could be read')
        video = torch.stack([r['video'] for r in read])
        texts = torch.cat([r['texts'] for r in read])
        counts = torch.tensor([len(r['texts']) for r in read])
        owner = torch.arange(len(read)).repeat_interleave(counts)
        metrics = retrieval_metrics(texts @ video.T, owner, self.topk)
        truncated = sum(r['truncated'] for r in read)
        print_log(
            f'Retrieval among {len(read)} videos with {len(texts)} captions.',
            'current')
        if truncated:
            print_log(
                f'{truncated} of {len(texts)} captions were cut to the context '
                'length.', 'current', logging.WARNING)
        if len(read) < len(results):
            metrics['coverage'] = 100 * len(read) / len(results)
            names = [r['filename'] for r in results if 'missing' in r]
            print_log(
                f'{len(names)} of {len(results)} videos could not be read and '
                f'are not evaluated, such as {names[:5]}', 'current',
                logging.WARNING)
        return metrics
