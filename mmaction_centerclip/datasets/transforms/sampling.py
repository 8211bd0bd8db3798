"""Choose the frames of a video, and mask what a short video lacks."""
import math
from typing import Literal

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from mmaction_centerclip.datasets.video.shown_frames import ROUNDED, uneven_seconds
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import PositiveInt


@TRANSFORMS.register_module()
class SampleFramesWithMask(BaseTransform):
    """Sample frames as CenterCLIP or CLIP4Clip do, with a mask.

    By default as CenterCLIP: the video is cut into ``clip_len`` equal parts, and each
    gives its middle frame in evaluation and a random one in training. (The authors'
    parts have a whole number of frames in training, so that the last ones are never
    drawn.)

    With ``frames_per_second`` as CLIP4Clip (with 1; arXiv 2104.08860), in training too:
    so many frames of each second, the rate of the video rounded down, or all where it
    is less than 1 (by the times of the frames where their rate changes); where there
    are more than ``clip_len``, those that ``too_many`` says.

    A video with fewer frames gives all it has, then its last one again, which
    ``frame_mask`` marks as padding. (CLIP4Clip appends black frames. What is masked
    counts neither way, but necks that cluster see it, unless they have
    ``exclude_padding``.)

    Required Keys:

        - total_frames
        - avg_fps, with ``frames_per_second``; then video_reader is asked for
          the times of frames, if it is there
        - start_index, optional

    Added Keys:

        - frame_inds: int64 (clip_len, )
        - frame_mask: bool (clip_len, ), to be among the ``collect_keys`` of
          ``PackActionInputs``
        - clip_len, frame_interval (None), num_clips (1)

    Examples:
        >>> sample = SampleFramesWithMask(clip_len=4, test_mode=True)
        >>> results = sample(dict(total_frames=3))
        >>> results['frame_inds'].tolist(), results['frame_mask'].tolist()
        ([0, 1, 2, 2], [True, True, True, False])
    """
    deterministic = True  # in test_mode, or with frames_per_second

    def __init__(self, clip_len: PositiveInt,
                 frames_per_second: PositiveInt | None = None,
                 too_many: Literal['uniform', 'head', 'tail'] = 'uniform',
                 test_mode: bool = False) -> None:
        self.clip_len = clip_len
        self.too_many = too_many
        self.frames_per_second = frames_per_second
        if frames_per_second is None and too_many != 'uniform':
            raise InputError('SampleFramesWithMask: too_many goes with '
                             f'frames_per_second, got {too_many!r} alone')
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        if results['total_frames'] < 1:
            raise OSError('the video has no frames')
        if self.frames_per_second is None:
            chosen = self._draw_from_parts(results['total_frames'])
        else:
            chosen = self._take_each_second(results)
        missing = self.clip_len - len(chosen)
        results['frame_inds'] = np.pad(
            chosen, (0, missing), mode='edge') + results.get('start_index', 0)
        results['frame_mask'] = np.arange(self.clip_len) < len(chosen)
        results.update(clip_len=self.clip_len, frame_interval=None, num_clips=1)
        return results

    def _draw_from_parts(self, total: int) -> np.ndarray:
        if total <= self.clip_len:
            return np.arange(total)
        part = total / self.clip_len
        if self.test_mode:
            return np.floor(part / 2 + part * np.arange(self.clip_len)).astype(np.int64)
        # In whole numbers: the last edge is the last frame's end.
        edges = np.arange(self.clip_len + 1) * total // self.clip_len
        return np.random.randint(edges[:-1], edges[1:])

    def _take_each_second(self, results: dict) -> np.ndarray:
        rate = results.get('avg_fps') or 0
        if not 0 < rate < math.inf:
            raise OSError(f'frames_per_second={self.frames_per_second} needs '
                          'the rate of the video, which says '
                          f'avg_fps={results.get("avg_fps")!r}')
        seconds = uneven_seconds(results)
        frames = self._by_rate(results['total_frames'], max(int(rate), 1)) if (
            seconds is None) else self._by_times(seconds[:-1])
        if len(frames) <= self.clip_len:
            return frames
        if self.too_many == 'uniform':
            return frames[np.linspace(
                0, len(frames) - 1, self.clip_len, dtype=np.int64)]
        return frames[:self.clip_len] if self.too_many == 'head' else frames[
            -self.clip_len:]

    def _by_rate(self, total: int, rate: int) -> np.ndarray:
        # More frames of a second than it has: all of them.
        wanted = min(self.frames_per_second, rate)
        seconds = np.arange(0, total, rate)
        frames = seconds[:, None] + rate // wanted * np.arange(wanted)
        return frames[frames < total]

    def _by_times(self, seconds: np.ndarray) -> np.ndarray:
        """Take the frames that are shown at even moments, each once."""
        moments = np.arange(
            math.floor((seconds[-1] + ROUNDED) * self.frames_per_second) + 1)
        return np.unique(np.searchsorted(
            seconds - ROUNDED, moments / self.frames_per_second, side='right') - 1)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(clip_len={self.clip_len}, '
                f'frames_per_second={self.frames_per_second}, '
                f'too_many={self.too_many!r}, test_mode={self.test_mode})')
