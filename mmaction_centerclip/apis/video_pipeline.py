import hashlib
import os
from types import SimpleNamespace

import numpy as np
from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS
from mmengine.config import Config
from torch import Tensor, nn

from mmaction_centerclip.datasets.video.decoding_errors import run_transform
from mmaction_centerclip.datasets.video_text_retrieval import check_sampling
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.pipelines import find_pipelines, step_type
from mmaction_centerclip.utils.weights import hash_weights


class VideoPipeline:
    """The test pipeline of a retriever's config, in two parts.

    It must open videos with ``VideoInit``, tokenize, and pack ``imgs``, and sample no
    frames at random. ``cfg`` is prepared by :func:`prepare_config`.
    """

    def __init__(self, cfg: Config) -> None:
        pipeline = next(find_pipelines(cfg.get('test_dataloader')), [])
        kinds = [step_type(step) for step in pipeline]
        tokenize = [s for s in pipeline if step_type(s) == 'OpenCLIPTokenize']
        packed = pipeline[-1].get('collect_keys') or () if pipeline else ()
        if len(tokenize) != 1 or kinds[-1] != 'PackActionInputs' or (
                'imgs' not in packed or 'FormatShape' not in kinds):
            raise InputError('test_dataloader: the pipeline must have one '
                             'OpenCLIPTokenize and FormatShape, and end with '
                             "PackActionInputs(collect_keys=('imgs', 'text', ...)), "
                             f'got {kinds}')
        for step in pipeline:
            check_sampling(step, test_mode=True)
        if not any('Resize' in kind or 'Crop' in kind for kind in kinds) and (
                cfg.model.get('video_pretrained') is None):
            # The config's own videos have the model's size; others have any.
            model = cfg.model
            pipeline.insert(kinds.index('FormatShape'), dict(
                type='OpenCLIPResize', model=model.backbone.get('arch', model.arch),
                pretrained=model.get('pretrained')))
        pack = dict(pipeline[-1], collect_keys=[k for k in packed if k != 'text'])
        with config_errors('test_dataloader'):
            self._tokenize = TRANSFORMS.build(tokenize[0])
            self._init, *self._steps = [
                TRANSFORMS.build(step) for step in (*pipeline[:-1], pack)
                if step is not tokenize[0]]
        if not isinstance(self._init, DecordInit):
            raise InputError('test_dataloader: the pipeline must begin with VideoInit, '
                             f'got {kinds[0]}')

    def describe(self) -> str:
        """Return all steps' options, as far as they change what a model sees."""
        return repr([getattr(step, 'resizing', step) for step in (
            *self._steps, self._tokenize.model, self._tokenize.context_length)])

    def tokenize(self, texts: list[str]) -> tuple[Tensor, int]:
        """Return token ids of texts, int64 (C, L), and how many texts are cut."""
        results = self._tokenize(dict(filename='texts', text=texts))
        return results['text'], results['num_truncated']

    def open(self, source: str | os.PathLike | np.ndarray, name: str = 'array') -> dict:
        """Open a video, as ``VideoInit`` does.

        ``source`` is a file of a video or a picture, a URL that mmengine reads, or
        frames, RGB uint8 (T, H, W, 3), or (H, W, 3) of a picture; ``name`` is of an
        array.
        """
        if isinstance(source, np.ndarray):
            reader = _FrameArray(source, name)
            return dict(filename=name, video_reader=reader, total_frames=len(reader),
                        avg_fps=0.)
        if not isinstance(source, (str, os.PathLike)):
            raise InputError('a video must be a path, a URL or an array of frames, got '
                             f'{type(source).__name__}')
        name = os.fspath(source)
        return run_transform(self._init, dict(filename=name), name)

    def prepare(self, video: dict, first: int = 0, end: int | None = None) -> dict:
        """Sample frames of a video, from ``first`` to before ``end``, for the model.

        Return ``inputs`` with ``imgs`` uint8 (T, 3, H, W) and maybe ``frame_mask``, and
        ``data_samples``, with ``filename`` and the sampled ``frame_inds``.
        """
        name, end = video['filename'], video['total_frames'] if end is None else end
        results = data = dict(
            video, start_index=first, total_frames=end - first, modality='RGB')
        for step in self._steps:
            data = run_transform(step, data, name)
            results = results if 'data_samples' in data else data
        frames = np.ravel(results['frame_inds']).tolist()
        if min(frames) < first or max(frames) >= end:
            raise InputError(f'test_dataloader: the pipeline samples frames {frames} '
                             f'of a part from {first} to {end - 1}')
        data['data_samples'].set_metainfo(dict(
            filename=name, missing=False, frame_inds=frames,
            resizing=results.get('resizing')))
        return data


class _FrameArray:
    """Frames that are decoded already, as a :class:`VideoReader` gives them."""

    def __init__(self, frames: np.ndarray, name: str) -> None:
        frames = frames[None] if frames.ndim == 3 else frames
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or (
                not frames.size):
            raise InputError(f'{name}: frames must be uint8 of the shape (T, H, W, 3), '
                             f'got {frames.dtype} {frames.shape}')
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def get_batch(self, indices) -> SimpleNamespace:
        batch = self._frames[np.ravel(indices)]
        return SimpleNamespace(asnumpy=lambda: batch)


def model_hash(model: nn.Module | OnnxRetriever, pipeline: VideoPipeline) -> str:
    """Return a hash of a model's weights, settings and test pipeline.

    That of an exported model in float32 is its own.
    """
    if isinstance(model, OnnxRetriever):
        return model.fingerprint
    settings = {name: value for name, value in model.cfg.model.to_dict().items()
                if name not in model.training_options}
    if settings['type'] == 'DistilledRetriever':
        settings['type'] = 'VideoTextRetriever'
    digest = hashlib.sha256(f'{settings!r}{pipeline.describe()}'.encode())
    hash_weights(digest, model)
    return digest.hexdigest()[:16]
