import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.dataset import pseudo_collate


def sample(name, captions=1, missing=False, masked=False):
    inputs = dict(
        imgs=torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8),
        text=torch.randint(9, (captions, 5)))
    if masked:
        inputs['frame_mask'] = torch.arange(4) < 2
    if missing:
        inputs = dict.fromkeys(inputs)
    return dict(
        inputs=inputs,
        data_samples=ActionDataSample(
            metainfo=dict(filename=name, missing=missing)))


@pytest.fixture
def preprocess():
    module = MODELS.build(dict(
        type='VideoTextDataPreprocessor', mean=[120.] * 3, std=[60.] * 3,
        format_shape='NCHW'))
    return lambda samples: module(pseudo_collate(samples))


@pytest.mark.parametrize('masked', [False, True])
def test_videos_and_all_their_captions_are_stacked(preprocess, masked):
    samples = [sample('a', 2, masked=masked), sample('b', masked=masked)]
    out = preprocess(samples)
    inputs = out['inputs']
    expected = torch.stack([each['inputs']['imgs'] for each in samples])
    torch.testing.assert_close(inputs['imgs'], (expected - 120.) / 60)
    assert torch.equal(inputs['text'], torch.cat(
        [each['inputs']['text'] for each in samples]))
    assert ('frame_mask' in inputs) == masked
    if masked:
        assert inputs['frame_mask'].tolist() == [[True] * 2 + [False] * 2] * 2


@pytest.mark.parametrize('missing', ['a', 'b', 'c', 'ac'])
def test_missing_videos_stand_last_and_in_no_stack(preprocess, missing):
    samples = [sample(name, 2, name in missing) for name in 'abc']
    out = preprocess(samples)
    read = [each for each, name in zip(samples, 'abc') if name not in missing]
    assert len(out['inputs']['imgs']) == len(read)
    assert torch.equal(out['inputs']['text'], torch.cat(
        [each['inputs']['text'] for each in read]))
    assert ''.join(each.filename for each in out['data_samples']) == ''.join(
        sorted('abc', key=lambda name: name in missing))


def test_a_batch_without_any_video_has_no_inputs(preprocess):
    out = preprocess([sample('a', missing=True), sample('b', missing=True)])
    assert out['inputs'] == {}
    assert [each.filename for each in out['data_samples']] == ['a', 'b']
