import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmaction.registry import METRICS
from mmengine.dist import all_gather_object, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_positive_int

from .evaluate import RetrievalEvaluation
from .feature_file import NO_HEAD, RetrievalFeatures, check_new_file, save_features
from .functional import TOPK
from .scores import choose_scorer, raised_together, score_matrix


@METRICS.register_module()
class VideoTextRetrievalMetric(BaseMetric):
    """Compute recall and ranks, text-to-video and video-to-text.

    See :func:`retrieval_metrics`. A video that a distributed sampler repeats counts
    once. Each process scores its share of the pairs, with the head where it is not
    separable (``ScoringHeadHook`` lends it).

    Args:
        more_metrics (Sequence[str | dict]): Such as ``'gmean'``, ``'Rsum'``, ``'mAP'``,
            ``'NDCG'``.
        rerank (Sequence[str | dict]): Such as ``'dual_softmax'`` or
            ``dict(type='qb_norm', bank='bank.pth')``.
        max_pairs (int): Pairs to score at a time, which bounds the memory.
        score_dtype (str): In which a head compares pairs. In ``'float64'`` figures do
            not depend on ``max_pairs`` or the number of processes, and equal features
            tie; ``'float32'`` is faster, on GPUs that are slow in float64 by far.
        dump (str, optional): A new ``.pth`` file for the features.
        dump_only (bool): Whether to compare none, as for a bank of ``qb_norm``.
        allow_missing (bool): Whether to go on without videos that cannot be read, and
            report ``coverage``.
    """
    default_prefix = 'retrieval'

    def __init__(self, topk: Sequence[int] = TOPK,
                 more_metrics: Sequence[str | dict] = (),
                 rerank: Sequence[str | dict] = (), max_pairs: int = 2**18,
                 score_dtype: Literal['float64', 'float32'] = 'float64',
                 dump: str | None = None, dump_only: bool = False,
                 allow_missing: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        if dump is not None:
            check_new_file(dump)
        elif dump_only:
            raise InputError('dump_only=True needs dump, a file to write')
        # A bank that is yet to be written is no reason not to write it.
        self.evaluation = RetrievalEvaluation(topk, more_metrics,
                                              () if dump_only else rerank)
        self.max_pairs = check_positive_int('max_pairs', max_pairs)
        self.score_dtype = getattr(torch, score_dtype)
        self.dump, self.dump_only = dump, dump_only
        self.allow_missing = allow_missing
        self.head: nn.Module | None = None
        self.head_config: dict | None = None

    def metric_names(self) -> set[str]:
        """Return the names of the figures, for ``save_best`` to choose from."""
        return {f'{self.prefix}/{name}' for name in self.evaluation.metric_names()}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            result = dict(index=sample['sample_idx'], filename=sample['filename'])
            if sample.get('missing', False):
                result['missing'] = sample['reason']
                if not self.allow_missing:
                    raise InputError(
                        f'{sample["filename"]}: {sample["reason"]}. Set '
                        'allow_missing=True of VideoTextRetrievalMetric to go on '
                        'without such videos.')
            else:
                for name in ('video_features', 'text_features'):
                    result[name] = {k: _to_cpu(x) for k, x in sample[name].items()}
                if not (self.dump_only or self.head is not None
                        or 'video' in result['video_features']):
                    raise InputError(NO_HEAD)  # before all is encoded
                result['captions'] = sample['captions']
                result['truncated'] = sample.get('num_truncated', 0)
            self.results.append(result)

    def evaluate(self, size: int) -> dict:
        """Gather the results of all processes and compute the metrics."""
        # Not collect_results(): it zips the processes' lists and drops what
        # lies beyond the dataset's length, whichever samples those are.
        # The index alone is not unique: datasets may be concatenated.
        unique = {(r['filename'], r['index']): r
                  for part in all_gather_object(self.results) for r in part}
        self.results.clear()
        metrics = self.compute_metrics([unique[key] for key in sorted(unique)])
        return {f'{self.prefix}/{k}': v for k, v in metrics.items()}

    def use_head(self, head: nn.Module, config: dict | None = None) -> None:
        """Set a head (``similarity``, ``cosine``, ``logit_scale``) and its config."""
        for name, reranking in self.evaluation.rerankings.items():
            if reranking.needs_cosines and not head.cosine:
                raise InputError(
                    f'{name} is for cosine similarities, from -1 to 1, which '
                    f'those of {type(head).__name__} are not')
        self.head, self.head_config = head, config

    def compute_metrics(self, results: list) -> dict[str, float]:
        read = [r for r in results if 'missing' not in r]
        if not read:
            raise InputError(
                f'none of the {len(results)} videos to evaluate could be read')
        features, metrics = self._features(read), {}
        if self.dump_only:
            self._save(features)
        else:
            metrics = self._compare(features)
        self._report(results, read, metrics)
        return metrics

    def _compare(self, features: RetrievalFeatures) -> dict[str, float]:
        """Compute the metrics; whatever fails, the features are dumped."""
        scorer = choose_scorer(features, self.head, dtype=self.score_dtype,
                               max_pairs=self.max_pairs, progress=True)
        if self.dump is not None:
            try:
                if not features.separable:
                    features = features._replace(similarity=score_matrix(
                        scorer, features.text, features.video))
            finally:
                self._save(features)
        return self.evaluation(features, scorer,
                               report=lambda text: print_log('\n' + text, 'current'))

    def _save(self, features: RetrievalFeatures) -> None:
        with raised_together():
            if is_main_process():
                save_features(features, self.dump)
        print_log(f'Wrote the features of {len(features.filenames)} videos and '
                  f'{len(features.captions)} captions to {self.dump}.', 'current')

    def _features(self, read: list) -> RetrievalFeatures:
        """Join what the videos' results hold."""
        video_of_text = torch.arange(len(read)).repeat_interleave(
            torch.tensor([len(r['captions']) for r in read]))
        video, text = ([r[name] for r in read]
                       for name in ('video_features', 'text_features'))
        features = RetrievalFeatures(
            {k: torch.stack([v[k] for v in video]) for k in video[0]},
            {k: torch.cat([t[k] for t in text]) for k in text[0]}, video_of_text,
            [r['filename'] for r in read],
            [caption for r in read for caption in r['captions']],
            (self.dataset_meta or {}).get('paragraph', False))
        if features.separable or self.head_config is None:
            return features
        state = {k: x.cpu() for k, x in self.head.state_dict().items()}
        return features._replace(head=dict(config=self.head_config, state_dict=state))

    @staticmethod
    def _report(results: list, read: list, metrics: dict[str, float]) -> None:
        """Log what was cut or left out, and add ``coverage``."""
        truncated = sum(r['truncated'] for r in read)
        if truncated:
            print_log(f'{truncated} captions were cut to the context length.',
                      'current', logging.WARNING)
        if len(read) < len(results):
            metrics['coverage'] = 100 * len(read) / len(results)
            names = [r['filename'] for r in results if 'missing' in r]
            print_log(f'{len(names)} of {len(results)} videos could not be read and '
                      f'are not evaluated, such as {names[:5]}', 'current',
                      logging.WARNING)


def _to_cpu(tensor: Tensor) -> Tensor:
    """Copy to the CPU, so that nothing holds the whole batch."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().clone()
