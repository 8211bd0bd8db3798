"""Frames to MP4 and to grey, in a process and in its forks."""
import multiprocessing

import numpy as np

from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.utils.mp4 import write_mp4


def write_and_read(path):
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8)
    write_mp4(path, [(image, i / 5) for i, image in enumerate(frames)], None, 5)
    assert len(list(VideoReader(path).decode_grey())) == 4


def test_a_fork_does_what_its_parent_has_done(tmp_path):
    """The converter of frames has threads, which a fork does not have."""
    for name in ('first.mp4', 'second.mp4'):
        write_and_read(str(tmp_path / name))
    fork = multiprocessing.get_context('fork').Process(
        target=write_and_read, args=(str(tmp_path / 'fork.mp4'), ), daemon=True)
    fork.start()
    fork.join(timeout=30)
    if fork.is_alive():
        fork.kill()
    assert fork.exitcode == 0
    assert (tmp_path / 'fork.mp4').read_bytes() == (tmp_path / 'first.mp4').read_bytes()
