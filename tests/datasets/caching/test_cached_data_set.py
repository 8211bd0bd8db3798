"""A data set gives the same samples from a frame cache, in workers too."""
import json

import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmaction_centerclip.datasets import VideoTextRetrievalDataset

from ..clips import h264, write_clip

NAMES = [f'{i}.mp4' for i in range(6)]


@pytest.fixture
def build(tmp_path):
    for i, name in enumerate(NAMES):
        write_clip(tmp_path / name, frames=20 + 7 * i, **h264())
    (tmp_path / 'gone.mp4').touch()
    (tmp_path / 'captions.json').write_text(json.dumps(
        {name: ['a', 'b'] for name in [*NAMES, 'gone.mp4']}))

    def make(sampling, **options):
        cache = dict(options, path=str(tmp_path / 'frames.db')) if options else None
        return VideoTextRetrievalDataset(
            'captions.json', data_root=str(tmp_path), pipeline=[
                dict(type='VideoInit', cache=cache), sampling,
                dict(type='VideoDecode'),
                dict(type='OpenCLIPResize'), dict(type='OpenCLIPTokenize'),
                dict(type='FormatShape', input_format='NCHW'),
                dict(type='PackActionInputs', collect_keys=('imgs', 'text'))],
            data_prefix=dict(video=''), captions='all')

    return make


def epochs_of(dataset, workers, count=2):
    loader = DataLoader(dataset, 3, num_workers=workers, collate_fn=pseudo_collate,
                        persistent_workers=workers > 0)
    for epoch in range(count):
        dataset.set_epoch(0, epoch)
        for batch in loader:
            yield from zip(batch['inputs']['imgs'], batch['data_samples'])


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('sampling', [
    dict(type='SampleFramesWithMask', clip_len=4),
    dict(type='UniformSample', clip_len=4)], ids=lambda step: step['type'])
def test_two_epochs_of_training(build, sampling, workers):
    resize = dict(type='OpenCLIPResize')
    plain = epochs_of(build(sampling), 0)
    cached = epochs_of(build(sampling, codec='raw', resize=resize), workers)
    count = 0
    for (imgs, sample), (found, found_sample) in zip(plain, cached, strict=True):
        assert torch.equal(imgs, found) and imgs.shape == (4, 3, 224, 224)
        assert sample.filename == found_sample.filename
        assert sample.skipped == found_sample.skipped
        count += 1
    assert count == 2 * 14


def test_what_is_stored_changes_no_sample(build):
    sampling = dict(type='SampleFramesWithMask', clip_len=4)
    options = dict(codec='jpeg', resize=dict(type='OpenCLIPResize'))
    never = list(epochs_of(build(sampling, add='all', **options), 0))
    for (imgs, _), (found, _) in zip(
            never, epochs_of(build(sampling, add='none', **options), 0), strict=True):
        assert torch.equal(imgs, found)
