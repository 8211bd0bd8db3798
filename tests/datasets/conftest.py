import pytest

from .clips import CLIPS, write_clip


@pytest.fixture
def clip(tmp_path):
    """A clip of the list, or one of the options."""

    def make(name, **options):
        return write_clip(tmp_path / name, **(options or CLIPS[name]))

    return make
