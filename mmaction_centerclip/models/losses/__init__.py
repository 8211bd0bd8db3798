from .dual_softmax import DualSoftmaxLoss
from .infonce import SymmetricInfoNCELoss
from .sigmoid import SigmoidLoss

__all__ = ['DualSoftmaxLoss', 'SigmoidLoss', 'SymmetricInfoNCELoss']
