"""Heads and losses over several processes."""
import inspect
import os
import tempfile

import pytest
import torch
import torch.multiprocessing as mp
from mmaction.registry import MODELS

from ..processes import SERVER
from .head_cases import DIMS, HEADS
from .test_retriever import _gradients, samples_of

SIGMOID = dict(loss=dict(type='SigmoidLoss'), init_logit_scale=2.3, init_logit_bias=-3.)


# Rows 0 and 2 go to the first process, 1 and 3 to the second; the first two share
# a video, the second and the last a caption, and of the third nothing is known.
PAIRS = [(1, 1), (1, 2), None, (2, 2)]


def _gradients_of_all(rank, world_size, folder, results):
    models, inputs = torch.load(os.path.join(folder, 'models'), weights_only=False)
    for i, model in enumerate(models):
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        _gradients(rank, world_size, os.path.join(folder, f'store{i}'), model,
                   inputs, results, samples_of(PAIRS))


def distributed_heads():
    """Every head, and every option of the loss."""
    for name in HEADS:
        head = dict(type=name)
        accepted = inspect.signature(MODELS.get(name)).parameters
        if 'embed_dims' in accepted:
            head['embed_dims'] = DIMS
        if 'dropout' in accepted:
            head['dropout'] = 0.  # Drawn for each process's own order of pairs.
        yield head
    mean = dict(type='MeanPoolingHead')
    yield dict(mean, freeze_logit_scale=True)
    yield dict(mean, loss=dict(type='SymmetricInfoNCELoss', label_smoothing=0.2))
    yield dict(mean, loss=dict(type='DualSoftmaxLoss', temperature=0.05))
    yield dict(mean, **SIGMOID)
    yield dict(type='TightTransformerHead', embed_dims=DIMS, **SIGMOID)


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(retriever_cfg, inputs):
    models, expected = [], []
    inputs = {k: v[:4] for k, v in inputs.items()}
    inputs['frame_mask'] = torch.arange(4) < torch.tensor([[4], [2], [3], [1]])
    for head in distributed_heads():
        cfg = retriever_cfg()
        cfg['head'] = head
        model = MODELS.build(cfg)
        loss, _ = model.parse_losses(model(inputs, samples_of(PAIRS), mode='loss'))
        loss.backward()
        expected.append((loss.item(), {
            k: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for k, p in model.named_parameters()}))
        model.zero_grad(set_to_none=True)
        models.append(model)
    results = SERVER.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        # More tensors than a process can be sent files of.
        torch.save((models, inputs), os.path.join(folder, 'models'))
        mp.start_processes(_gradients_of_all, (2, folder, results), nprocs=2,
                           start_method='forkserver', join=False)
        # Both processes are done with one model before the next.
        got = [results.get() for _ in range(2 * len(models))]
    for i, (_, local_loss, grads) in enumerate(got):
        loss, wanted = expected[i // 2]
        assert local_loss == pytest.approx(loss, rel=1e-5)
        for key, grad in grads.items():
            torch.testing.assert_close(
                torch.from_numpy(grad), wanted[key], rtol=1e-5, atol=1e-5)
