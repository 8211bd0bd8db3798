from .dual_softmax import DualSoftmaxLoss
from .infonce import SymmetricInfoNCELoss

__all__ = ['DualSoftmaxLoss', 'SymmetricInfoNCELoss']
