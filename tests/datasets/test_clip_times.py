"""Of a clip with start and end, its frames are sampled and no others."""
import pytest
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules

from mmaction_centerclip.datasets import AnnotationEntry, annotation_text
from mmaction_centerclip.datasets.clip_times import narrow_to_clip
from mmaction_centerclip.errors import InputError

from .clips import FRAMES, open_video

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
