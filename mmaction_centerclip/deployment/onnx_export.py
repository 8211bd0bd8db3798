"""Write a retriever's parts as ONNX files."""
import contextlib
import copy
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError, check_choice, import_packages
from mmaction_centerclip.utils.files import check_absent, partial_name

from .onnx_folder import HEAD, INPUTS, OUTPUTS, TEXTS, VIDEOS, write_manifest
from .programs import (
    HeadEncoder,
    TextEncoder,
    VideoEncoder,
    check_any_frames,
    check_exportable,
    export_program,
)

PRECISIONS = ('float32', 'float16', 'int8')
_OPSET = 20
_LARGEST_FILE = 2**31 - 2**20  # Of what protobuf takes; weights then lie beside it.


def write_onnx(model: nn.Module, folder: str, num_frames: int, size: tuple[int, int],
               progress: Callable[[str], object] = print,
               dynamic_frames: bool = False) -> None:
    """Write the files of a retriever on the CPU, in the dtype of its weights.

    Each takes any number of videos, or of captions, at a time; with ``dynamic_frames``
    that of videos any number of frames, too.
    """
    frames = torch.zeros(2, num_frames, 3, *size, dtype=torch.uint8)
    length = model.text_backbone.positional_embedding.shape[0]
    width = model.text_backbone.embed_dims
    parts = {
        VIDEOS: (VideoEncoder(model), ('batch', 'frames')[:1 + dynamic_frames],
                 (frames, torch.ones(2, num_frames, dtype=torch.bool))),
        TEXTS: (TextEncoder(model), ('batch', ), (
            torch.ones(2, length, dtype=torch.int64), )),
        HEAD: (HeadEncoder(model), ('batch', 'segments'), (
            torch.ones(2, 3, width), torch.ones(2, 3, dtype=torch.bool))),
    }
    for name, (encoder, dynamic, examples) in parts.items():
        progress(f'writing {name}')
        write_part(encoder, os.path.join(folder, name), dynamic, examples)


def write_part(encoder: nn.Module, path: str, dynamic: tuple[str, ...],
               examples: tuple[Tensor, ...]) -> None:
    """Write an encoder, whose first dimensions have these names and any sizes.

    The file's name, of :mod:`onnx_folder`, says those of inputs and outputs.
    """
    import onnx_ir.passes.common as passes

    from .onnx_operators import translations
    name = os.path.basename(path)
    program = export_program(encoder, *examples, dynamic=dynamic)
    with torch.no_grad(), _quiet():
        written = torch.onnx.export(
            program, dynamo=True, verbose=False, opset_version=_OPSET,
            input_names=INPUTS[name], output_names=OUTPUTS[name],
            custom_translation_table=translations())
    for value in written.model.graph.inputs:
        value.shape = type(value.shape)([*dynamic, *value.shape[len(dynamic):]])
    # Which holds the paths of this machine.
    passes.ClearMetadataAndDocStringPass()(written.model)
    size = sum(x.numel() * x.element_size() for x in program.state_dict.values())
    written.save(path, external_data=size > _LARGEST_FILE)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter tells of its own passes from the terminal."""
    loggers = [logging.getLogger(name) for name in ('onnxscript', 'onnx_ir', 'torch')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def export_folder(model: nn.Module, folder: str | os.PathLike, known: dict,
                  precision: str = 'float32',
                  finish: Callable[[str], object] = lambda folder: None,
                  progress: Callable[[str], object] = print) -> None:
    """Write a new folder with the files of a retriever, all of it or nothing.

    ``known`` is what its manifest tells, with ``frames`` and so on, see
    :func:`read_manifest`; ``finish`` may change the files in the folder before.
    """
    check_choice('precision', precision, PRECISIONS)
    import_packages('the export to ONNX', 'onnx', 'onnx', 'onnxruntime', 'onnxscript')
    check_exportable(model)
    dynamic_frames = known['frames'].get('any_count', False)
    if dynamic_frames:
        check_any_frames(model)
    folder = os.path.abspath(folder)
    check_absent(folder)
    if not os.path.isdir(os.path.dirname(folder)):
        raise InputError(f'{folder}: there is no folder {os.path.dirname(folder)}')
    partial = partial_name(folder)
    os.mkdir(partial)
    try:
        write_onnx(in_precision(model, precision), partial, known['frames']['count'],
                   tuple(known['frames']['size']), progress, dynamic_frames)
        finish(partial)
        write_manifest(partial, dict(known, precision=precision))
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def in_precision(model: nn.Module, precision: str) -> nn.Module:
    """Return the model, or a copy of it in float16, whose frames are in float32."""
    if precision != 'float16':
        return model
    model = copy.deepcopy(model).half()
    model.data_preprocessor.float()
    return model
