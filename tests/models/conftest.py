import pytest
import torch


@pytest.fixture
def imgs():
    """Frames of three videos for the small hosts."""
    return torch.randn(3, 8, 3, 32, 32)
