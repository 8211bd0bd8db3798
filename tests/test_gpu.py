"""Check all that is claimed for a GPU, by `pytest -m gpu`."""
import pytest

from .gpu_checks import CHECKS
from .paths import ROOT


@pytest.mark.gpu
@pytest.mark.parametrize('name', CHECKS)
def test_on_a_gpu(name):
    CHECKS[name]('cuda')


@pytest.mark.parametrize('name', [
    name for name in CHECKS if not name.startswith(('fused', 'compiled'))])
def test_the_checks_hold_on_the_cpu(name):
    CHECKS[name]('cpu')


def test_no_other_test_needs_a_gpu():
    """So that all of them are in one place."""
    words = ('mark.gpu', 'skipif(not torch.cuda')
    files = [path.name for path in (ROOT / 'tests').rglob('*.py')
             if any(word in path.read_text() for word in words)]
    assert files == ['test_gpu.py']
