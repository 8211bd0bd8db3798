"""Write the matrices of exported files in int8."""
import contextlib
import os
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from .onnx_folder import TEXTS, VIDEOS
from .sessions import import_onnxruntime


class _Frames:
    """Videos one by one, as onnxruntime's calibration reads them."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self._rows = iter(inputs['frames'].split(1)), iter(
            inputs['frame_mask'].split(1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        try:
            frames, mask = (next(rows) for rows in self._rows)
        except (RuntimeError, StopIteration):
            return None
        return dict(frames=frames.numpy(), frame_mask=mask.numpy())

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        while (item := self.get_next()) is not None:
            yield item


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
