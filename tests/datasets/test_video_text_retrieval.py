import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules
from torch.utils.data import DataLoader

from mmaction_centerclip.datasets import VideoDecode
from mmaction_centerclip.errors import InputError

register_all_modules()

PIPELINE = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=4),
    dict(type='VideoDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', context_length=16),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]


def build(root, ann_file='train.json', **options):
    pipeline = [dict(step) for step in PIPELINE]
    pipeline[1]['test_mode'] = options.get('test_mode', False)
    options = dict(
        dict(data_root=str(root), data_prefix=dict(video='videos'),
             pipeline=pipeline), **options)
    return DATASETS.build(
        dict(type='VideoTextRetrievalDataset', ann_file=ann_file, **options))


@pytest.fixture
def folder(shapes, tmp_path):
    """A copy to spoil."""
    shutil.copytree(shapes, tmp_path / 'data')
    return tmp_path / 'data'


def spoil(path, how):
    if how == 'missing':
        path.unlink()
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'text':
        path.write_text('this is not a video\n' * 40)
    elif how == 'truncated':
        content = path.read_bytes()
        path.write_bytes(content[:len(content) // 2])


@pytest.mark.slow
def test_training_samples_say_what_of_them_repeats(shapes, tmp_path):
    path = tmp_path / 'captions.json'
    path.write_text(json.dumps(dict(schema_version=1, videos=[
        dict(id='a', video='train0000.mp4', captions=['A  cat', 'a dog']),
        dict(id='b', video='train0000.mp4', captions=['a cat '], start=0.5),
        dict(id='c', video='train0001.mp4', captions=['a bird'])])))
    dataset = build(shapes, str(path), captions='all')
    ids = [dataset[i]['data_samples'].pair_ids for i in range(4)]
    videos, captions = zip(*ids)
    # A clip is another video, and case and spaces make no other caption.
    assert [videos.index(x) for x in videos] == [0, 0, 2, 3]
    assert [captions.index(x) for x in captions] == [0, 1, 0, 3]
    assert all(0 <= number < 2**63 for pair in ids for number in pair)
    assert ids == [build(shapes, str(path), captions='all')[i]['data_samples'].pair_ids
                   for i in range(4)]
    for options in (dict(captions='all', mask_repeats=False), dict(captions='random'),
                    dict(test_mode=True)):
        assert 'pair_ids' not in build(shapes, str(path), **options)[0]['data_samples']
    sample = build(shapes, str(path), captions='random', mask_repeats=True)[1]
    assert sample['data_samples'].pair_ids == ids[2]
    with pytest.raises(InputError, match="mask_repeats must be True .*, got 'yes'"):
        build(shapes, mask_repeats='yes')


SPOILT = ['missing', 'empty', 'text', 'truncated']


def test_a_training_sample_is_a_video_with_one_caption(shapes):
    dataset = build(shapes)
    captions = json.loads((shapes / 'train.json').read_text())
    assert len(dataset) == 24
    sample = dataset[3]
    assert sample['inputs']['imgs'].shape == (4, 3, 64, 64)
    assert sample['inputs']['imgs'].dtype == torch.uint8
    assert sample['inputs']['text'].shape == (1, 16)
    drawn = sample['data_samples'].captions
    assert len(drawn) == 1 and drawn[0] in captions['train0003.mp4']
    short = build(shapes, pipeline=[
        dict(t, context_length=6) if t['type'] == 'OpenCLIPTokenize' else t
        for t in PIPELINE
    ])
    assert short[3]['data_samples'].num_truncated == 1


def test_all_pairs_are_samples(shapes):
    dataset = build(shapes, captions='all')
    captions = json.loads((shapes / 'train.json').read_text())
    pairs = [(name, text) for name, texts in captions.items()
             for text in texts]
    assert len(dataset) == len(pairs)
    sample = dataset[4]['data_samples']
    assert (sample.filename.split('/')[-1], sample.captions[0]) == pairs[4]


def test_evaluation_decodes_each_video_once_with_all_captions(
        shapes, shapes_captions, monkeypatch):
    decoded = []
    transform = VideoDecode.transform

    def count(self, results):
        decoded.append(results['filename'].split('/')[-1])
        return transform(self, results)

    monkeypatch.setattr(VideoDecode, 'transform', count)
    dataset = build(shapes, 'test.json', test_mode=True)
    texts = [dataset[i]['inputs']['text'] for i in range(len(dataset))]
    assert decoded == list(shapes_captions)
    assert [len(t) for t in texts] == [
        len(c) for c in shapes_captions.values()
    ]


def batches(dataset, workers):
    loader = DataLoader(dataset, batch_size=4, num_workers=workers,
                        collate_fn=list, persistent_workers=workers > 0)
    for epoch in range(2):
        dataset.set_epoch(7, epoch)
        for batch in loader:
            for sample in batch:
                yield (sample['data_samples'].captions[0],
                       sample['inputs']['imgs'].sum().item())


def test_draws_depend_on_seed_epoch_and_index_only(shapes):
    here = list(batches(build(shapes, indices=8), 0))
    np.random.seed(123)
    assert here == list(batches(build(shapes, indices=8), 2))
    assert here[:8] != here[8:]
    dataset = build(shapes, indices=8)
    dataset.set_epoch(7, 1)
    assert dataset[5]['data_samples'].captions[0] == here[8 + 5][0]
    dataset.set_epoch(8, 1)
    other = [dataset[i]['data_samples'].captions[0] for i in range(8)]
    assert other != [caption for caption, _ in here[8:]]


def test_drawing_leaves_the_generators_alone(shapes):
    dataset = build(shapes)
    dataset.set_epoch(0, 0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    dataset[0]
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize('how', SPOILT)
def test_training_replaces_an_unreadable_video(folder, how):
    spoil(folder / 'videos/train0000.mp4', how)
    dataset = build(folder)
    dataset.set_epoch(0, 0)
    sample = dataset[0]['data_samples']
    assert not sample.filename.endswith('train0000.mp4')
    (name, reason), = sample.skipped
    assert name.endswith('train0000.mp4') and reason and '\n' not in reason
    assert sample.filename == dataset[0]['data_samples'].filename


@pytest.mark.parametrize('how', SPOILT)
def test_evaluation_marks_an_unreadable_video(folder, how):
    spoil(folder / 'videos/test0002.mp4', how)
    dataset = build(folder, 'test.json', test_mode=True)
    sample = dataset[2]
    assert sample['data_samples'].missing and sample['data_samples'].reason
    assert sample['inputs'] == dict(imgs=None, text=None)
    assert not dataset[1]['data_samples'].missing


@pytest.mark.parametrize('share', [0.3, 0.6, 0.9])
def test_a_truncated_avi_does_not_end_the_process(folder, share):
    # decord ends with a segmentation fault if it is given the bytes.
    path = folder / 'videos/test0002.mp4'
    writer = cv2.VideoWriter(
        str(path.with_suffix('.avi')), cv2.VideoWriter_fourcc(*'MJPG'), 8,
        (64, 64))
    for level in range(40):
        writer.write(np.full((64, 64, 3), 5 * level, np.uint8))
    writer.release()
    content = path.with_suffix('.avi').read_bytes()
    path.write_bytes(content[:int(len(content) * share)])
    dataset = build(folder, 'test.json', test_mode=True)
    sample = dataset[2]
    assert sample['data_samples'].missing or sample['inputs']['imgs'].any()


def test_gives_up_where_nothing_can_be_read(folder):
    for path in (folder / 'videos').glob('train*'):
        spoil(path, 'text')
    with pytest.raises(InputError, match='6 videos in turn cannot be read'):
        build(folder, max_refetch=5)[0]


def test_a_mistake_in_the_pipeline_is_not_blamed_on_the_video(shapes):

    def mistaken(results):
        return results['no such key']

    with pytest.raises(KeyError, match='no such key'):
        build(shapes, pipeline=[mistaken])[0]
    with pytest.raises(IndexError):
        build(shapes, pipeline=[lambda results: [][0]])[0]


@pytest.mark.parametrize('content, message', [
    ('["a"]', 'bad.json must map video files to lists of captions'),
    ('{"a.mp4": ["b"]}', 'none of its 1 videos exists, such as .*a.mp4'),
])
def test_bad_annotations_are_named(folder, content, message):
    (folder / 'bad.json').write_text(content)
    with pytest.raises(InputError, match=message):
        build(folder, 'bad.json')


def test_videos_without_a_caption_are_no_samples(folder):
    captions = {'train0000.mp4': ['', 'a'], 'train0001.mp4': ['  '],
                'train0002.mp4': ['b']}
    (folder / 'some.json').write_text(json.dumps(captions))
    dataset = build(folder, 'some.json')
    assert [dataset[i]['data_samples'].captions
            for i in range(len(dataset))] == [['a'], ['b']]


def test_bad_option_is_named(shapes):
    with pytest.raises(InputError, match="'all', 'paragraph'.*, got 'both'"):
        build(shapes, captions='both')


@pytest.mark.parametrize('test_mode', [False, True])
def test_a_paragraph_is_all_captions_in_their_order(shapes, shapes_captions,
                                                    test_mode):
    dataset = build(shapes, 'test.json', captions='paragraph',
                    test_mode=test_mode)
    assert dataset.metainfo['paragraph'] is True
    assert len(dataset) == len(shapes_captions)
    for i, captions in enumerate(shapes_captions.values()):
        assert dataset[i]['data_samples'].captions == [' '.join(captions)]


def test_one_video_is_one_video_however_its_path_is_written(folder):
    videos = folder / 'videos'
    (videos / 'link.mp4').symlink_to('train0000.mp4')
    (folder / 'more').symlink_to('videos')
    for other in ('./train0000.mp4', 'link.mp4', '../more/train0000.mp4',
                  str(videos / 'train0000.mp4')):
        (folder / 'two.json').write_text(json.dumps(
            {'train0000.mp4': ['a'], other: ['b']}))
        with pytest.raises(InputError, match='two.json.*(one video|the clip)'):
            build(folder, 'two.json')
    shutil.copy(videos / 'train0000.mp4', videos / 'copy.mp4')
    (folder / 'two.json').write_text(json.dumps(
        {'train0000.mp4': ['a'], 'copy.mp4': ['b']}))
    assert len(build(folder, 'two.json')) == 2


def test_what_stands_in_the_pipeline_is_called(folder):
    (folder / 'clips.json').write_text(json.dumps(dict(schema_version=1, videos=[
        dict(id='a', video='train0000.mp4', captions=['a'], start=1, end=1.5)])))
    dataset = build(folder, 'clips.json', test_mode=True)
    seen, transforms = [], dataset.pipeline.transforms

    def watch(data):
        for transform in transforms:
            data = transform(data)
            seen.append(data.get('frame_inds'))
        return data

    expected = dataset[0]['inputs']['imgs']
    dataset.pipeline = watch
    assert torch.equal(dataset[0]['inputs']['imgs'], expected)
    numbers = next(x for x in seen if x is not None)
    assert numbers.min() >= 8 and numbers.max() < 12  # 8 a second
