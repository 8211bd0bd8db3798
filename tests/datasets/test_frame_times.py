"""The frames of a clip are sampled by its start and end, and no others."""
import numpy as np
import pytest
from mmaction.registry import DATASETS, TRANSFORMS
from mmaction.utils import register_all_modules

from mmaction_centerclip.datasets import AnnotationEntry, annotation_text
from mmaction_centerclip.datasets.video.frame_times import narrow_to_clip
from mmaction_centerclip.errors import InputError

from .caches import open_video as open_cached
from .clips import FRAMES, h264, open_video

register_all_modules()
PIPELINE = [
    dict(type='VideoInit'), dict(type='SampleFramesWithMask', clip_len=6),
    dict(type='VideoDecode'), dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', context_length=16),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))]


@pytest.fixture
def frames_of(clip, tmp_path):
    """The frames that the dataset gives of clips, and all 60 of the video."""
    path = clip('ffv1.mkv')

    def read(times, pipeline=PIPELINE, test_mode=True):
        entries = [AnnotationEntry(path.name, ['a caption'], str(i), *time)
                   for i, time in enumerate(times)]
        (tmp_path / 'a.json').write_text(annotation_text(entries, 'test'))
        pipeline = [dict(step) for step in pipeline]
        if 'clip_len' in pipeline[1]:
            pipeline[1]['test_mode'] = test_mode
        dataset = DATASETS.build(dict(
            type='VideoTextRetrievalDataset', ann_file='a.json', test_mode=test_mode,
            data_root=str(tmp_path), pipeline=pipeline, max_refetch=0))
        samples = [dataset[i] for i in range(len(dataset))]
        return [
            sample['data_samples'].reason if sample['data_samples'].get('missing') else
            sample['inputs']['imgs'].permute(0, 2, 3, 1).numpy()
            for sample in samples]

    every = open_video(path).get_batch(range(FRAMES)).asnumpy()
    return read, every


@pytest.mark.parametrize('start, end, first, last', [
    (None, None, 0, FRAMES), (.4, None, 10, FRAMES), (None, .8, 0, 20),
    (.4, .8, 10, 20), (2, 99, 50, FRAMES), (1, 1.16, 25, 29), (1, 1.001, 25, 26)])
def test_frames_of_a_clip(start, end, first, last, frames_of):
    read, every = frames_of
    found, = read([(start, end)])
    # The obvious slow way: the middle frame of each of six parts of the list.
    inside = [i for i in range(FRAMES) if first <= i < last]
    parts = len(inside) / 6
    expected = [inside[int(parts / 2 + parts * i)] for i in range(6)] if (
        len(inside) > 6) else (inside + inside[-1:] * 6)[:6]
    assert (found == every[expected]).all()
    drawn, = read([(start, end)], test_mode=False)
    assert all((frame == every[inside]).all(axis=(1, 2, 3)).any() for frame in drawn)


def test_the_zoos_sampling_keeps_to_a_clip(frames_of):
    pipeline = [PIPELINE[0], dict(type='UniformSample', clip_len=4), *PIPELINE[2:5],
                dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]
    read, every = frames_of
    for frames, inside in zip(read([(.4, .8), (1.2, 2)], pipeline),
                              (every[10:20], every[30:50])):
        assert all((frame == inside).all(axis=(1, 2, 3)).any() for frame in frames)


def test_a_clip_behind_the_end_is_missing(frames_of):
    whole, behind = frames_of[0]([(0, 1), (5, 6)])
    assert len(whole) == 6
    assert behind == 'ends at 2.40 s, before its clip from 5 s on'


def test_a_pipeline_that_cannot_is_refused(frames_of):
    with pytest.raises(InputError, match='no step of the pipeline says the total'):
        frames_of[0]([(0, 1)], [
            PIPELINE[4], dict(type='PackActionInputs', collect_keys=('text', ))])
    with pytest.raises(InputError, match='a step that opens the video'):
        narrow_to_clip(dict(frame_inds=[0], total_frames=3), 0, 1)


def phone(i):
    """Milliseconds: 20 frames at 5 a second, then 30 a second."""
    return 200 * i if i < 20 else 4000 + round(1000 / 30 * (i - 20))


def pauses(i):
    """Milliseconds: each frame stands for a second and a half, later for 40 ms."""
    return 1500 * i if i < 10 else 15000 + 40 * (i - 10)


@pytest.mark.parametrize('name', ['phone.mp4', 'phone.mkv', 'pauses.ts', 'pauses.mp4'])
def test_times_are_those_of_the_file(clip, name, cache):
    times = phone if 'phone' in name else pauses
    path = clip(name, times=times, **h264())
    shown = np.array([times(i) for i in range(FRAMES)]) / 1000
    readers = [open_video(path)] + [open_cached(cache(), path) for _ in range(2)]
    readers[1].get_batch([3])  # from then on known without opening the video
    for reader in [*readers, cache().open(str(path), lambda: pytest.fail('opened'))]:
        def opened(reader=reader):
            return dict(filename=name, video_reader=reader, total_frames=len(reader),
                        avg_fps=reader.get_avg_fps())

        for start, end in ((0, 4), (4, 5), (None, 2.2), (.5, 1), (4, None), (3.1, 3.2)):
            results = opened()
            narrow_to_clip(results, start, end)
            inside = [i for i, time in enumerate(shown)
                      if (start or 0) <= time < (end or 99)]
            # Else the one that is on the screen then.
            inside = inside or [np.flatnonzero(shown <= start)[-1]]
            assert results['start_index'] == inside[0]
            assert results['total_frames'] == len(inside)
        sample = TRANSFORMS.build(dict(
            type='SampleFramesWithMask', clip_len=99, frames_per_second=2))
        results = sample(opened())
        at = np.arange(0, shown[-1] + 1e-3, .5)
        expected = sorted({np.flatnonzero(shown <= t + 1e-3)[-1] for t in at})
        assert results['frame_inds'][results['frame_mask']].tolist() == expected
