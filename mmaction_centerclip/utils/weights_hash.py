"""Hash the weights of models."""
import torch
from torch import nn

__all__ = ['hash_weights']


def hash_weights(digest, model: nn.Module) -> None:
    """Take names, types, shapes and values of all weights into a hash."""
    for name, value in sorted(model.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(
            torch.uint8).numpy().data)
