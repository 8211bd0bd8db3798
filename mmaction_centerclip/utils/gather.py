"""Gather tensors across processes, with the gradients of a single one."""
import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor

__all__ = ['gather_with_grad']


class _GatherWithGrad(torch.autograd.Function):

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        ctx.batch_size = len(tensor)
        return torch.cat(all_gather(tensor.contiguous()))

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        # Every process computes the whole loss. Summing over processes and
        # the mean that DDP takes afterwards give the gradient of that loss
        # once; keeping the local slice alone would divide it by their number.
        grad = grad.contiguous()
        all_reduce(grad)
        return grad.narrow(0, get_rank() * ctx.batch_size, ctx.batch_size)


def gather_with_grad(tensor: Tensor) -> Tensor:
    """Concatenate a tensor over all processes, along its first dimension.

    With a loss that every process computes on the gathered tensors, and gradients
    averaged over processes as DistributedDataParallel does, all parameters get the
    gradient that one process would on the global batch.
    """
    if get_world_size() == 1:
        return tensor
    if tensor.dtype == torch.bool:
        # Not every backend has bool.
        return torch.cat(all_gather(tensor.to(torch.uint8))).bool()
    return _GatherWithGrad.apply(tensor)
