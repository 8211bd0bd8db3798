import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from mmaction_centerclip.errors import InputError

from ..paths import golden_files, load

GOLDEN = golden_files('sampling.npz')


def sample(total, fps=None, **options):
    transform = TRANSFORMS.build(dict(type='SampleFramesWithMask', **options))
    return transform(dict(filename='a.mp4', total_frames=total, avg_fps=fps))


def cases():
    for path in GOLDEN:
        data = load(path)
        names = ('n_frames', 'fps', 'feature_framerate', 'max_frames', 'slice_framepos')
        for i, case in enumerate(zip(*(data[name] for name in names))):
            of_case = {name: data[name][i] for name in data if name.startswith(
                ('centerclip_', 'clip4clip_'))}
            yield pytest.param(*(x.item() for x in case), of_case, id=str(i))


@pytest.mark.parametrize('total, fps, rate, clip_len, cut, golden', list(cases()))
def test_golden(total, fps, rate, clip_len, cut, golden):
    out = sample(total, clip_len=clip_len, test_mode=True)
    valid = np.arange(clip_len) < golden['centerclip_valid']
    expected = golden['centerclip_indices'][:clip_len]
    assert out['frame_inds'].tolist() == expected.tolist()
    assert out['frame_mask'].tolist() == valid.tolist()

    assert not golden['clip4clip_error']
    out = sample(total, fps, clip_len=clip_len, frames_per_second=rate,
                 too_many={0: 'head', 1: 'tail', 2: 'uniform'}[cut])
    count = golden['clip4clip_valid']
    found = out['frame_inds'].tolist()
    assert found[:count] == golden['clip4clip_indices'][:count].tolist()
    assert found[count:] == [found[count - 1]] * (clip_len - count)
    assert out['frame_mask'].tolist() == (np.arange(clip_len) < count).tolist()


@pytest.mark.parametrize('total, clip_len', [
    *((n, 12) for n in (1, 7, 12, 13, 23, 24, 25, 280)), (123, 60), (211, 75)])
def test_training_draws_one_frame_of_each_part(total, clip_len):
    drawn = np.stack(
        [sample(total, clip_len=clip_len)['frame_inds'] for _ in range(400)])
    middle = sample(total, clip_len=clip_len, test_mode=True)['frame_inds']
    assert (np.diff(drawn, axis=1) >= 0).all()
    if total > clip_len:
        assert set(drawn.ravel()) == set(range(total))
        assert (np.diff(drawn, axis=1) > 0).all()
        # A middle that is rounded down may be the first frame of the next part.
        assert (drawn.min(axis=0) <= middle).all()
        assert (middle <= drawn.max(axis=0) + 1).all()
    else:
        assert (drawn == middle).all()


def test_start_and_a_rate_that_the_video_has_not():
    transform = TRANSFORMS.build(dict(
        type='SampleFramesWithMask', clip_len=6, frames_per_second=5))
    out = transform(dict(total_frames=5, avg_fps=2.5, start_index=1))
    assert out['frame_inds'].tolist() == [1, 2, 3, 4, 5, 5]
    assert out['frame_mask'].sum() == 5


@pytest.mark.parametrize('fps', [.04, .5, .999])
def test_less_than_a_frame_a_second_are_all_frames(fps):
    out = sample(5, fps, clip_len=6, frames_per_second=2)
    assert out['frame_inds'].tolist() == [0, 1, 2, 3, 4, 4]
    assert out['frame_mask'].tolist() == [True] * 5 + [False]


@pytest.mark.parametrize('options, message', [
    (dict(clip_len=0), 'clip_len must be a positive integer, got 0'),
    (dict(clip_len=4, frames_per_second=0.5), 'frames_per_second must be .*got 0.5'),
    (dict(clip_len=4, too_many='all'), "too_many must be one of .*got 'all'"),
    (dict(clip_len=4, too_many='head'), "goes with frames_per_second, got 'head'"),
])
def test_bad_input_is_named(options, message):
    with pytest.raises(InputError, match=message):
        sample(9, **options)


@pytest.mark.parametrize('total, fps, message', [
    (9, None, 'says avg_fps=None'), (9, float('nan'), 'avg_fps=nan'),
    (9, 0, 'avg_fps=0'), (9, -1, 'avg_fps=-1'),
    (9, float('inf'), 'avg_fps=inf'), (0, 25, 'no frames')])
def test_a_bad_video_is_no_mistake_of_the_config(total, fps, message):
    with pytest.raises(OSError, match=message):
        sample(total, fps, clip_len=4, frames_per_second=1)
