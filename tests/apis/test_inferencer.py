"""Videos and words of one's own, against what an evaluation makes of them."""
import json

import mmcv
import numpy as np
import pytest
import torch
from mmaction.apis import inference_recognizer
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mmaction_centerclip.apis import VideoTextRetrievalInferencer, init_retriever
from mmaction_centerclip.errors import InputError


@pytest.fixture
def evaluated(inferencer):
    """The samples of the test set, as a test run encodes them."""
    dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    data = pseudo_collate([dataset[i] for i in range(len(dataset))])
    with torch.no_grad():
        return inferencer.model.test_step(data)


def test_features_are_those_of_an_evaluation(inferencer, evaluated):
    videos = inferencer.encode_videos([s.filename for s in evaluated], batch_size=4)
    assert videos.names == [s.filename for s in evaluated]
    torch.testing.assert_close(
        videos.features['video'],
        torch.stack([s.video_features['video'] for s in evaluated]))
    texts = inferencer.encode_texts(list(evaluated[0].captions))
    torch.testing.assert_close(
        texts.features['text'], evaluated[0].text_features['text'])


def test_ranking(inferencer, evaluated, tmp_path, shapes):
    files = [s.filename for s in evaluated]
    result = inferencer(files, ['a red square', 'a ball'], topk=4,
                        pred_out_dir=str(tmp_path / 'out'))
    assert result['unreadable'] == {} and len(result['predictions']) == 2
    videos = torch.stack([s.video_features['video'] for s in evaluated])
    for found, text in zip(result['predictions'], ['a red square', 'a ball']):
        query = inferencer.encode_texts(text).features['text'][0]
        scores = (videos @ query).tolist()
        best = sorted(range(len(files)), key=lambda i: -scores[i])[:4]
        assert found['text'] == text and found['videos'] == [files[i] for i in best]
        assert found['scores'] == pytest.approx([scores[i] for i in best], abs=1e-6)
    stored = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert stored['predictions'] == result['predictions']


def test_all_kinds_of_inputs_are_one_video(inferencer, evaluated, tmp_path):
    path = evaluated[0].filename
    frames = np.stack([mmcv.bgr2rgb(frame) for frame in mmcv.VideoReader(path)])
    (tmp_path / 'sub').mkdir()
    for name in ('sub/clip.mp4', '.hidden.mp4'):
        (tmp_path / name).symlink_to(path)
    videos = inferencer.encode_videos([path, tmp_path, frames])
    assert videos.names == [path, str(tmp_path / 'sub' / 'clip.mp4'), 'array 2']
    first, second, array = videos.features['video']
    torch.testing.assert_close(first, second)
    assert first @ array > 0.99  # decoded by another library
    picture = inferencer.encode_videos(frames[0])
    assert picture.features['video'].shape == (1, 16)


def test_bad_videos_are_reported_and_the_others_ranked(
        inferencer, evaluated, tmp_path):
    good = evaluated[1].filename
    (tmp_path / 'notes.txt').write_text('no video')
    (tmp_path / 'empty.mp4').touch()
    (tmp_path / 'good.mp4').symlink_to(good)
    result = inferencer([tmp_path, tmp_path / 'absent.mp4'], 'a ball', batch_size=2)
    assert result['predictions'][0]['videos'] == [str(tmp_path / 'good.mp4')]
    reasons = {name.split('/')[-1]: why for name, why in result['unreadable'].items()}
    assert reasons['empty.mp4'] == 'the file is empty'
    assert reasons['absent.mp4'] == 'no such file'
    assert 'notes.txt' in reasons and len(reasons) == 3
    with pytest.raises(InputError, match='none of 1 videos can be read, .*absent'):
        inferencer(str(tmp_path / 'absent.mp4'), 'a ball')


@pytest.mark.parametrize('inputs, texts, message', [
    ([], 'a', 'no videos'),
    ([7], 'a', 'must be a path, a URL or an array of frames, got int'),
    (np.zeros((2, 8, 8, 4), np.uint8), 'a', 'array 0: frames must be uint8'),
    ('nothing://x.mp4', 'a', 'nothing://x.mp4'),
    (np.zeros((2, 8, 8, 3), np.uint8), [], 'texts must be a text or a list'),
])
def test_bad_inputs(inferencer, inputs, texts, message):
    with pytest.raises(InputError, match=message):
        inferencer(inputs, texts)


def test_pairwise_heads_score_too(tiny_config, tmp_path, evaluated):
    cfg = Config.fromfile(tiny_config)
    cfg.model.head = dict(type='WeightedTokenInteractionHead', embed_dims=16)
    cfg.model.pretrained = None
    from mmaction.registry import MODELS
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / 'wti.pth')
    ours = VideoTextRetrievalInferencer(
        cfg, str(tmp_path / 'wti.pth'), 'cpu', show_progress=False)
    files = [s.filename for s in evaluated]
    videos, texts = ours.encode_videos(files), ours.encode_texts(['a ball', 'a box'])
    scores = ours.score(texts, videos)
    slow = [[ours.model.head.similarity(
        {k: x[i:i + 1] for k, x in texts.features.items()},
        {k: x[j:j + 1] for k, x in videos.features.items()}).item()
        for j in range(len(files))] for i in range(2)]
    torch.testing.assert_close(scores, torch.tensor(slow), atol=1e-5, rtol=0)


def test_weights_are_never_random_in_silence(tiny_config, tiny_checkpoint, tmp_path):
    with pytest.raises(InputError, match='checkpoint is missing'):
        init_retriever(tiny_config)
    state = torch.load(tiny_checkpoint)['state_dict']
    state.pop('backbone.proj')
    torch.save(state, tmp_path / 'less.pth')
    with pytest.raises(InputError, match='missing .*backbone.proj'):
        init_retriever(tiny_config, str(tmp_path / 'less.pth'))
    with pytest.raises(InputError, match='config must be a text .* got None'):
        VideoTextRetrievalInferencer(None, tiny_checkpoint)
    with pytest.raises(InputError, match='config file not found'):
        init_retriever(tmp_path / 'absent.py', tiny_checkpoint)
    cfg = Config.fromfile(tiny_config)
    cfg.model.update(pretrained='x', video_pretrained='y')
    cfg.model.data_preprocessor.update(mean=[0, 0, 0], std=[1, 1, 1])
    with pytest.raises(InputError, match='video_pretrained=.y. .*give a checkpoint'):
        init_retriever(cfg)


def test_the_zoos_function_names_ours(inferencer, evaluated):
    with pytest.raises(InputError, match='VideoTextRetrievalInferencer'):
        inference_recognizer(inferencer.model, evaluated[0].filename)
