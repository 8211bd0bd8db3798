"""Run the files of an exported model by onnxruntime, and write them in int8."""
import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from mmaction_centerclip.errors import InputError, import_packages

from .onnx_folder import INPUTS, OUTPUTS, TEXTS, VIDEOS

_CUDA = 'CUDAExecutionProvider'


def import_onnxruntime() -> ModuleType:
    """Return the module, or say how to install it."""
    runtime, = import_packages('an exported model', 'onnx', 'onnxruntime')
    return runtime


def best_device() -> str:
    """Return ``'cuda'`` where torch and onnxruntime have it, else ``'cpu'``."""
    has_cuda = _CUDA in import_onnxruntime().get_available_providers()
    return 'cuda' if has_cuda and torch.cuda.is_available() else 'cpu'


class Session:
    """A function of tensors in an ONNX file.

    Only ONNX's and onnxruntime's own operators: a file cannot bring code along. On a
    GPU where ``device`` says so and onnxruntime has it, else on as many threads as
    torch uses.
    """

    def __init__(self, path: str | os.PathLike, device: str = 'cpu') -> None:
        runtime = import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # The level above makes onnxruntime 1.32 crash on float16 on the CPU, and
        # nothing here faster.
        options.graph_optimization_level = (
            runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
        providers, place = ['CPUExecutionProvider'], torch.device(device)
        if place.type == 'cuda':
            if _CUDA not in runtime.get_available_providers():
                raise InputError(f'device={device!r}: this onnxruntime has no CUDA, '
                                 'which onnxruntime-gpu has')
            number = place.index
            if number is None:
                number = torch.cuda.current_device()
            providers.insert(0, (_CUDA, dict(device_id=number)))
        try:
            self._session = runtime.InferenceSession(
                os.fspath(path), options, providers=providers)
        except Exception as error:  # onnxruntime has a class for each status
            raise InputError(f'{path} cannot be opened by onnxruntime: '
                             f'{" ".join(str(error).split())[:200]}') from error
        if place.type == 'cuda' and _CUDA not in self._session.get_providers():
            raise InputError(f'device={device!r}: onnxruntime cannot load CUDA or '
                             'cuDNN and would run on the CPU')
        self._check(os.fspath(path))

    def _check(self, path: str) -> None:
        name = os.path.basename(path)
        found = {kind: tuple(value.name for value in values) for kind, values in (
            ('inputs', self._session.get_inputs()),
            ('outputs', self._session.get_outputs()))}
        expected = dict(inputs=INPUTS[name], outputs=OUTPUTS[name])
        if found != expected:
            raise InputError(f'{path} is no {name} of an exported model: it has '
                             f'{found}, expected {expected}')
        self.path, self.outputs = path, expected['outputs']
        self.shapes = {value.name: value.shape for value in self._session.get_inputs()}

    def __call__(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Run on tensors by name, and return tensors by name, on the CPU."""
        arrays = {name: np.ascontiguousarray(x.cpu().numpy())
                  for name, x in inputs.items()}
        try:
            outputs = self._session.run(None, arrays)
        except Exception as error:
            raise InputError(f'{self.path}: {" ".join(str(error).split())[:200]}'
                             ) from error
        return {name: torch.from_numpy(x) for name, x in zip(self.outputs, outputs)}


class _Frames:
    """Videos one by one, as onnxruntime's calibration reads them."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self._rows = (dict(frames=frames.numpy(), frame_mask=mask.numpy())
                      for frames, mask in zip(inputs['frames'].split(1),
                                              inputs['frame_mask'].split(1)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rows, None)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self._rows


def quantize(folder: str | os.PathLike,
             calibration: dict[str, Tensor] | None = None) -> None:
    """Quantise the products with weights of a folder's encoders, in place.

    Weights have a scale for each column. Values in front of them get theirs in each
    run, or from ``calibration``, ``frames`` and their ``frame_mask``, in the videos'
    file. Attention, norms, the first convolution and clustering stay in float32.
    """
    import_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    common = dict(op_types_to_quantize=['MatMul', 'Gemm'], per_channel=True,
                  weight_type=QuantType.QInt8)
    for name in (VIDEOS, TEXTS):
        path = os.path.join(folder, name)
        partial = f'{path}.partial'
        if calibration is not None and name == VIDEOS:
            quantize_static(path, partial, _Frames(calibration),
                            activation_type=QuantType.QUInt8, **common)
        else:
            quantize_dynamic(path, partial,
                             extra_options=dict(MatMulConstBOnly=True), **common)
        os.replace(partial, path)
        with contextlib.suppress(FileNotFoundError):
            os.remove(f'{path}.data')  # its weights of before
