"""Export a retriever, for programs without this package."""
import json
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from mmaction_centerclip.clip.feature_settings import SETTINGS, describe_settings
from mmaction_centerclip.clip.models import tokenizer_of
from mmaction_centerclip.deployment.onnx_export import export_folder
from mmaction_centerclip.deployment.onnx_folder import write_tokenizer
from mmaction_centerclip.deployment.programs import (
    TextEncoder,
    VideoVectors,
    check_exportable,
    export_program,
)
from mmaction_centerclip.deployment.sessions import quantize
from mmaction_centerclip.engine.stored_config import describe_config
from mmaction_centerclip.utils.files import atomic_write, check_absent
from mmaction_centerclip.utils.option_types import PositiveInt, check_types

from .video_pipeline import VideoPipeline, model_hash


@check_types
def export_towers(model: nn.Module, folder: str | os.PathLike,
                  num_frames: PositiveInt, image_size: int | tuple[int, int],
                  batch_size: PositiveInt | None = None) -> None:
    """Write ``videos.pt2`` and ``texts.pt2`` by ``torch.export`` to a folder.

    Videos come in the sizes (height and width) given here, and any number of them or
    always ``batch_size``, normalised as by the data preprocessor, without padding.
    Programs of clustered towers need this package for its operators. The retriever is
    in evaluation mode, on the CPU, and has a separable head: the product of what both
    programs give is the similarity.
    """
    check_exportable(model, onnx=False)
    height, width = (image_size, ) * 2 if isinstance(image_size, int) else image_size
    dynamic = ('batch', ) if batch_size is None else ()
    count = batch_size or 2
    imgs = torch.zeros(count, num_frames, 3, height, width)
    length = model.text_backbone.positional_embedding.shape[0]
    text = torch.zeros(count, length, dtype=torch.int64)
    for name, encoder, example in (
            ('videos.pt2', VideoVectors(model, normalized=True), imgs),
            ('texts.pt2', TextEncoder(model), text)):
        path = os.path.join(folder, name)
        check_absent(path)
        with atomic_write(path) as partial:
            program = export_program(encoder, example, dynamic=dynamic)
            with open(partial, 'wb') as file:
                torch.export.save(program, file, extra_files={
                    f'{SETTINGS}.json': json.dumps(describe_settings(model))})


@check_types
def export_onnx(model: nn.Module, folder: str | os.PathLike,
                precision: str = 'float32',
                calibration: dict[str, torch.Tensor] | None = None,
                progress: Callable[[str], object] = print,
                dynamic_frames: bool = False) -> None:
    """Write a retriever of :func:`init_retriever` as ONNX files to a new folder.

    ``videos.onnx`` takes uint8 frames (B, T, 3, H, W) and a mask of real ones, bool (B,
    T), and gives ``video`` (B, E), ``segments`` (B, S, E), their mask and first frames;
    ``texts.onnx`` takes token ids, int64 (C, L), and gives ``text`` (C, E), whose
    product with ``video`` is the similarity; ``head.onnx`` pools segments to videos.
    All take any number at a time. ``model.json`` tells how frames are made and texts
    tokenised, by the file beside it; docs/deployment.md does so without this package.

    Args:
        precision (str): ``'float16'`` for GPUs; ``'int8'`` for CPUs, see
            :func:`quantize`.
        calibration (dict, optional): ``frames`` and ``frame_mask`` of videos, to fix
            the ranges of int8 by.
        progress (Callable): Gets a line as each file begins.
        dynamic_frames (bool): Whether ``videos.onnx`` takes any number of frames that
            the model takes, where its tower and necks allow. Defaults to False.
    """
    pipeline = VideoPipeline(model.cfg)
    sample = pipeline.prepare(pipeline.open(np.zeros((2, 64, 64, 3), np.uint8)))
    count, _, *size = sample['inputs']['imgs'].shape
    preprocessor = model.data_preprocessor
    known = dict(
        model=model_hash(model, pipeline),
        width=model.text_backbone.embed_dims,
        frames=dict(
            count=count, any_count=dynamic_frames, size=size,
            layout='RGB, uint8, (videos, count, 3, *size)',
            resizing=model.resizing, pipeline=pipeline.describe(),
            mean=preprocessor.mean.flatten().tolist(),
            std=preprocessor.std.flatten().tolist()),
        tokenizer=dict(name=tokenizer_of(model.arch),
                       context_length=len(pipeline.tokenize(['a'])[0][0])),
        config=describe_config(
            model.cfg, name=os.path.basename(model.cfg.filename or '')))

    def write_rest(partial: str) -> None:
        known['tokenizer']['file'] = write_tokenizer(model.arch, partial)
        if precision == 'int8':
            progress('quantising')
            quantize(partial, calibration)

    export_folder(model, folder, known, precision, write_rest, progress)
