"""Make the drop rates of a zoo's model plain numbers."""
import numpy as np
from torch import nn

__all__ = ['use_plain_drop_probs']


def use_plain_drop_probs(model: nn.Module) -> None:
    """Turn the drop rates that are numpy's scalars into Python's numbers.

    The zoo takes its rates from ``np.linspace``, and ``torch.compile`` would take them
    for tensors, whose values it does not know.
    """
    for module in model.modules():
        if isinstance(getattr(module, 'drop_prob', None), np.floating):
            module.drop_prob = float(module.drop_prob)
