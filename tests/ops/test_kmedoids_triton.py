"""The fused kernel, on the CPU through Triton's interpreter.

Triton decides on import whether to interpret, so this runs in a process of
its own.
"""
import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from mmaction_centerclip.ops import kmedoids

from ..paths import ROOT, golden_files, load

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None, reason='no Triton')

CODE = '''
import sys, torch
from mmaction_centerclip.ops import kmedoids
for options, tokens in torch.load(sys.argv[1]):
    for name, a, b in zip(('medoids', 'assignment'),
                          kmedoids(tokens, backend='triton', **options),
                          kmedoids(tokens, backend='torch', **options)):
        assert torch.equal(a, b), (name, options, tokens.shape, a, b)
    print('equal', options)
kmedoids(torch.randn(1, 1025, 2), 2, backend='triton')
'''


@pytest.mark.slow
def test_equals_the_torch_path_and_beyond_its_limits_says_so(tmp_path):
    duplicated = torch.randn(2, 20, 8)
    duplicated[:, 5:] = duplicated[:, :1]
    problems = [
        (dict(num_centers=6), duplicated),
        (dict(num_centers=4), torch.zeros(1, 9, 3)),
        (dict(num_centers=17), torch.randn(2, 17, 4)),
        (dict(num_centers=1), torch.randn(2, 9, 4)),
        (dict(num_centers=30, max_iters=1), torch.randn(2, 61, 8)),
        (dict(num_centers=10, distance='cosine'), torch.randn(2, 40, 8)),
        (dict(num_centers=10, p=1.0), torch.randn(2, 40, 8)),
        (dict(num_centers=10, tol=40.0), torch.randn(3, 40, 8)),
        (dict(num_centers=3, first=torch.tensor([5, 2])), torch.randn(2, 9, 4)),
    ]
    for path in golden_files('kmedoids_*n98*.npz')[:2]:
        data = load(path)
        problems.append((dict(num_centers=data['K'], p=data['norm_p'],
                              distance=data['distance'],
                              max_iters=data['iter_limit']),
                         torch.from_numpy(data['tokens'])))
    torch.save(problems, tmp_path / 'problems.pt')
    result = subprocess.run(
        [sys.executable, '-c', CODE, tmp_path / 'problems.pt'], capture_output=True,
        text=True, cwd=ROOT, env=dict(os.environ, TRITON_INTERPRET='1'))
    assert result.stdout.count('equal') == len(problems), result.stderr
    assert 'up to 1024 tokens and 512 centers, got 1025 and 2' in result.stderr


@pytest.mark.parametrize('options, message', [
    (dict(backend='cuda'), "one of .*'triton'.*, got 'cuda'"),
    (dict(backend='triton', dtype=torch.float64), 'got torch.float64'),
    (dict(backend='triton', valid=torch.ones(1, 4).bool()), 'and valid'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        kmedoids(torch.randn(1, 4, 2), 2, **options)


@pytest.mark.slow
@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize('has_displacement', [True, False])
def test_compiles_for_gpus_that_are_not_here(capability, has_displacement):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mmaction_centerclip.ops.kmedoids_triton import _kmedoids_kernel
    signature = dict.fromkeys(
        ('count', 'num_centers', 'max_iters'), 'i32')
    signature.update(
        distances='*fp32', first='*i32', medoids='*i32', assignment='*i32',
        cheapest='*i64', tol='fp32', has_displacement='constexpr',
        block='constexpr', center_block='constexpr')
    source = ASTSource(
        fn=_kmedoids_kernel, signature=signature,
        constexprs=dict(has_displacement=has_displacement, block=1024,
                        center_block=512))
    kernel = triton.compile(source, target=GPUTarget('cuda', capability, 32))
    assert kernel.asm['cubin']
