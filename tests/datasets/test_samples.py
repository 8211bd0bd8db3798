import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Dataset

from mmaction_centerclip.datasets import stack_in_worker
from mmaction_centerclip.models import VideoTextDataPreprocessor


class Samples(Dataset):
    """Frames as pipelines pack them, views with the channels last in memory."""

    def __init__(self, captions, missing=()):
        self.captions, self.missing = captions, missing

    def __len__(self):
        return len(self.captions)

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        imgs = torch.randint(256, (3, 8, 6, 3), generator=generator).byte()
        inputs = dict(imgs=imgs.permute(0, 3, 1, 2),
                      text=torch.full((self.captions[index], 5), index),
                      frame_mask=torch.arange(3) <= index)
        sample = ActionDataSample()
        sample.set_metainfo(dict(missing=index in self.missing))
        if index in self.missing:
            inputs = dict.fromkeys(inputs)
        return dict(inputs=inputs, data_samples=sample)


@pytest.mark.parametrize('data, stacked', [
    (Samples([1, 1, 1, 1]), {'imgs', 'text', 'frame_mask'}),
    (Samples([2, 1, 1, 3]), {'imgs', 'frame_mask'}),  # captions of an evaluation
    (Samples([1, 1, 1, 1], missing=[2]), set())])
def test_a_worker_gives_the_batch_of_pseudo_collate(data, stacked):
    expected = pseudo_collate([data[i] for i in range(4)])
    batch, = DataLoader(data, 4, num_workers=1, collate_fn=stack_in_worker)
    for name, values in expected['inputs'].items():
        got = batch['inputs'][name]
        assert isinstance(got, torch.Tensor) == (name in stacked)
        for one, other in zip(got, values, strict=True):
            assert other is one is None or torch.equal(one, other)
    if 'imgs' in stacked:
        assert batch['inputs']['imgs'].is_shared()
        # Nothing was reordered in memory.
        assert batch['inputs']['imgs'][0].stride() == data[0]['inputs']['imgs'].stride()
    ready = VideoTextDataPreprocessor(mean=[1., 2., 3.], std=[4., 5., 6.])
    for name, x in ready(batch)['inputs'].items():
        assert torch.equal(x, ready(expected)['inputs'][name])


def test_without_a_worker_nothing_is_copied():
    samples = [Samples([1, 1])[i] for i in range(2)]
    batch = stack_in_worker(samples)
    assert batch['inputs']['imgs'][1] is samples[1]['inputs']['imgs']
