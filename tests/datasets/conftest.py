from functools import partial

import pytest

from mmaction_centerclip.datasets.caching.frame_cache import FrameCache
from mmaction_centerclip.datasets.video import packets

from .clips import CLIPS, write_clip


@pytest.fixture
def clip(tmp_path):
    """A clip of the list, or one of the options."""

    def make(name, **options):
        return write_clip(tmp_path / name, **(options or CLIPS[name]))

    return make


@pytest.fixture
def cache(tmp_path):
    """Open a frame cache, always the same file, with options."""
    return partial(FrameCache, str(tmp_path / 'made' / 'frames.db'))


@pytest.fixture
def decoded(monkeypatch):
    """The times of all frames that decoders give."""
    times, decode = [], packets._decode

    def counting(*args):
        for frame in decode(*args):
            times.append(frame.pts)
            yield frame

    monkeypatch.setattr(packets, '_decode', counting)
    return times
