"""Make random numbers depend on the training sample alone."""
import contextlib
import random

import numpy as np
import torch

__all__ = ['sample_rng']


@contextlib.contextmanager
def sample_rng(*key: int):
    """Seed Python's, numpy's and torch's generators for one sample.

    What a pipeline draws then depends on ``key`` only: not on the worker, the
    number of processes, or whether the run was resumed. The generators
    continue afterwards where they were.

    Args:
        *key (int): Not negative, such as seed, epoch and index.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed also notes the seed, with a stack trace, for a CUDA that
    # a worker never starts: slower than all else here, and kept for ever.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
