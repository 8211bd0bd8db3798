"""Repair the zoo's modules on numpy 2, and not numpy, whose names tell its version."""
import functools
import importlib
import types

import numpy as np


def view_of(module: types.ModuleType, **names: object) -> types.ModuleType:
    """Return a module with names of its own, and else all that ``module`` has."""
    view = types.ModuleType(module.__name__, module.__doc__)
    view.__getattr__ = functools.partial(getattr, module)
    vars(view).update(names)
    return view


_USERS_OF_OLD_NAMES = (
    'mmaction.datasets.transforms.pose_transforms',
    # Its ImgAug sets np.bool to bool, which breaks numpy 2's masked arrays.
    'mmaction.datasets.transforms.wrappers',
    'mmaction.evaluation.functional.accuracy',
    'mmaction.evaluation.functional.ava_evaluation.metrics',
    'mmaction.evaluation.metrics.multimodal_metric',
    'mmaction.utils.misc',
)


def restore_numpy_names() -> None:
    """Bring back, for the zoo alone, names that numpy 2.0 to 2.4 removed.

    See https://numpy.org/doc/stable/numpy_2_0_migration_guide.html. The modules that
    use them get an ``np`` of their own with them.
    """
    names = dict(Inf=np.inf, NAN=np.nan, in1d=np.isin,
                 trapz=getattr(np, 'trapezoid', None))
    removed = {k: v for k, v in names.items() if not hasattr(np, k)}
    if removed:
        for name in _USERS_OF_OLD_NAMES:
            importlib.import_module(name).np = view_of(np, **removed)


def keep_hues_in_range() -> None:
    """Lower hues in ``ColorJitter`` without an overflow.

    Numpy 2 adds no negative integer to uint8 (NEP 50, https://numpy.org/neps/nep-0050).
    """
    if np.lib.NumpyVersion(np.__version__) < '2.0.0':
        return
    import cv2
    from mmaction.datasets.transforms import ColorJitter

    def adjust_hue(img: np.ndarray, factor: float) -> np.ndarray:
        img = np.clip(img, 0, 255).astype(np.uint8)
        hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV)
        hue = hsv[..., 0].astype(np.int16) + int(factor * 255)
        hsv[..., 0] = hue % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    ColorJitter.adjust_hue = staticmethod(adjust_hue)


def measure_tubes() -> None:
    """Find the frames that two tubes of ``MultiSportsMetric`` share.

    ``iou3dt_voc`` takes ``int`` of arrays of one index, an error since numpy 2.4.
    """
    if np.lib.NumpyVersion(np.__version__) < '2.4.0':
        return
    from mmaction.evaluation.functional import multisports_utils
    multisports_utils.int = lambda value: int(np.asarray(value).item())
