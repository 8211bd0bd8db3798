"""Test what is claimed for a GPU: functions of a device, which need no pytest.

They run on a CPU too, the fused kernel by Triton's interpreter
(``TRITON_INTERPRET=1``).
"""
import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.ops import kmedoids, spectral_clustering

DATA = Path(__file__).resolve().parent / 'data'


def assert_same(one, other):
    for name, a, b in zip(('medoids', 'assignment'), one, other):
        assert torch.equal(a, b), f'{name}: {(a != b).sum()} of {a.numel()} differ'


def fused_kmedoids_on_golden_arrays(path, device):
    data = np.load(path, allow_pickle=False)
    tokens = torch.from_numpy(data['tokens']).to(device)
    options = dict(num_centers=data['K'].item(), p=data['norm_p'].item(),
                   distance=data['distance'].item(), pre_norm=data['pre_norm'].item(),
                   max_iters=data['iter_limit'].item())
    assert_same(kmedoids(tokens, backend='triton', **options),
                kmedoids(tokens, backend='torch', **options))


def fused_kmedoids_with_ties(device):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 20, 8, generator=generator)
    tokens[:, 5:] = tokens[:, :1]
    for x, centers in ((tokens, 6), (torch.zeros(1, 9, 3), 4), (tokens[:, :7], 7)):
        x = x.to(device)
        assert_same(kmedoids(x, centers, backend='triton'),
                    kmedoids(x, centers, backend='torch'))


def spectral(path, device):
    data = np.load(path, allow_pickle=False)
    tokens = torch.from_numpy(data['tokens']).to(device)
    graph = dict(sigma='auto', num_centers=data['K'].item())
    assert_same([x.cpu() for x in spectral_clustering(tokens, **graph)],
                spectral_clustering(tokens.cpu(), **graph))


def retriever(neck, **options):
    """Build a three-block CLIP with a neck."""
    torch.manual_seed(0)
    return MODELS.build(dict(
        type='VideoTextRetriever',
        arch=dict(
            embed_dim=16,
            vision_cfg=dict(image_size=32, patch_size=16, width=32, head_width=16,
                            layers=3),
            text_cfg=dict(context_length=16, width=32, heads=2, layers=2)),
        backbone=dict(type='CLIPVisionTower', necks=[
            dict(type=neck, before_block=2, num_segments=2, num_centers=3)]),
        text_backbone=dict(type='CLIPTextTower', context_length=12),
        head=dict(type='MeanPoolingHead')))


def frames():
    return torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def tower_is_that_of_the_cpu(neck, device):
    tower = retriever(neck).backbone.eval()
    with torch.no_grad():
        expected, _ = tower.encode(frames())
        got, _ = copy.deepcopy(tower).to(device).encode(frames().to(device))
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-3, atol=1e-4)


def compiled_tower_is_the_eager_one(neck, device):
    tower, imgs = retriever(neck).backbone.eval().to(device), frames().to(device)
    backend = 'aot_eager' if device == 'cpu' else 'inductor'
    compiled = torch.compile(tower.encode, fullgraph=True, backend=backend)
    with torch.no_grad():
        torch.testing.assert_close(compiled(imgs)[0], tower.encode(imgs)[0],
                                   rtol=1e-3, atol=1e-4)


def trains_in_half_precision(dtype, device):
    model = retriever('TokenClustering').to(device).train()
    text = torch.randint(1, 49406, (2, 12), device=device)
    text[:, -1] = 49407
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
    optimizer = torch.optim.AdamW(model.parameters())
    before = copy.deepcopy(model.state_dict())
    with torch.autocast(device, dtype):
        losses = model(dict(imgs=frames().to(device), text=text), mode='loss')
        loss, _ = model.parse_losses(losses)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    for name, value in model.state_dict().items():
        assert value.isfinite().all(), name
    assert not torch.equal(before['head.logit_scale'], model.head.logit_scale)


_NECKS = ('TokenClustering', 'SpectralTokenClustering')

CHECKS = {
    'fused k-medoids with ties': fused_kmedoids_with_ties,
    **{f'fused k-medoids on {path.stem}': partial(fused_kmedoids_on_golden_arrays, path)
       for path in sorted(DATA.glob('kmedoids_*.npz'))},
    **{f'spectral on {path.stem}': partial(spectral, path)
       for path in sorted(DATA.glob('spectral_*.npz'))},
    **{f'tower with {neck} is that of the CPU': partial(tower_is_that_of_the_cpu, neck)
       for neck in _NECKS},
    **{f'compiled tower with {neck} is the eager one': partial(
        compiled_tower_is_the_eager_one, neck) for neck in _NECKS},
    **{f'trains in {str(dtype)[6:]}': partial(trains_in_half_precision, dtype)
       for dtype in (torch.float16, torch.bfloat16)},
}
