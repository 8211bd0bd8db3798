"""The zoo's parts that numpy 2 broke, each with a value worked out by hand."""
import json

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import ColorJitter, ImgAug, MMCompact, PoseCompact
from mmaction.evaluation.functional import ava_eval, average_recall_at_avg_proposals
from mmaction.evaluation.metrics import MultiSportsMetric, RetrievalRecall
from mmengine.fileio import dump

from mmaction_centerclip import compat
from mmaction_centerclip.compat.numpy_2 import view_of

pytestmark = pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < '2.0.0', reason='of numpy 2')

def test_average_recall():
    found = {name: np.array([[0., 1., 1.], [1., 2., 1.]]) for name in 'ab'}
    truth = {name: segments[:, :2] for name, segments in found.items()}
    recall, _, proposals, auc = average_recall_at_avg_proposals(truth, found, 4)
    # Half of a video's segments by its first proposal, all by both.
    assert np.array_equal(recall, [[0.] * 49 + [.5] * 50 + [1.]] * 10)
    assert proposals[-1] == pytest.approx(2)
    assert auc == pytest.approx(25.5)


@pytest.mark.slow
def test_avas_average_precision_leaves_out_classes_without_truth(tmp_path):
    files = dict(
        labels=''.join(f'item {{\n  name: "{i}"\n  id: {i}\n}}\n'
                       for i in (1, 2)),
        truth='v,0902,0.1,0.1,0.5,0.5,1,0\n',
        found='v,0902,0.1,0.1,0.5,0.5,1,0.8\nv,0902,0.6,0.6,0.9,0.9,1,0.9\n'
              'v,0902,0.1,0.1,0.5,0.5,2,0.7\n')
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    labels, truth, found = (str(tmp_path / name) for name in files)
    results = ava_eval(found, 'mAP', labels, truth, None, verbose=False)
    assert results['overall'] == pytest.approx(.5)


def test_recall_of_retrieval():
    scores = np.array([np.linspace(1, 0, 10)] * 2)
    labels = torch.zeros(2, 10)
    labels[0, [0, 2]] = labels[1, [1, 4]] = 1
    recalls = RetrievalRecall.calculate(scores, labels, topk=(1, 5))
    assert [x.item() for x in recalls] == [50, 100]


@pytest.mark.parametrize('transform', [PoseCompact, MMCompact])
@pytest.mark.parametrize('options, shape', [
    (dict(padding=0, allow_imgpad=False), (80, 80)),
    (dict(padding=.3, allow_imgpad=False), (100, 100)),
    (dict(padding=.3, allow_imgpad=True), (104, 104)),
])
def test_poses_are_cropped(transform, options, shape):
    keypoints = np.zeros((1, 4, 2, 2))
    keypoints[:, :, 0], keypoints[:, :, 1] = 10, 90
    results = dict(keypoint=keypoints, img_shape=(100, 100),
                   imgs=list(np.zeros((3, 100, 100, 3))))
    cropped = transform(threshold=0, hw_ratio=1, **options)(results)
    assert cropped['img_shape'] == shape


@pytest.mark.parametrize('factor, color, expected', [
    (-.1, (255, 0, 0), (255, 0, 212)),  # From 0 down to 155 of 180.
    (.1, (255, 0, 0), (255, 212, 0)),  # Up to 25.
    (.5, (255, 0, 255), (0, 195, 255)),  # From 150 to 277, which is 97.
])
def test_the_hue_goes_up_and_down(factor, color, expected):
    moved = ColorJitter.adjust_hue(np.full((2, 2, 3), color, np.uint8), factor)
    assert moved.dtype == np.float32
    assert np.abs(moved[0, 0] - expected).max() <= 3


def test_the_color_jitter_draws_any_hue():
    frames = list(np.random.default_rng(0).integers(
        0, 256, (2, 8, 8, 3), dtype=np.uint8))
    for seed in range(8):
        np.random.seed(seed)
        jittered = ColorJitter(hue=.5)(dict(imgs=frames))['imgs']
        assert all(frame.dtype == np.uint8 for frame in jittered)


def test_multisports_finds_a_tube_that_starts_late(tmp_path):
    def tube(first):
        return np.array([[t, 10, 10, 50, 50] for t in range(first, 21)],
                        np.float32)

    dump(dict(labels=['a'], test_videos=[['v']], nframes=dict(v=20),
              resolution=dict(v=(100, 100)), gttubes=dict(v={0: [tube(1)]})),
         tmp_path / 'truth.pkl')
    metric = MultiSportsMetric(str(tmp_path / 'truth.pkl'), verbose=False)
    metric.process(None, [
        dict(video_id='v.mp4', timestamp=int(box[0]), pred_instances=dict(
            bboxes=torch.tensor(box[None, 1:] / 100),
            scores=torch.tensor([[.9]]))) for box in tube(6)
    ])
    results = metric.compute_metrics(metric.results)
    # The tubes share 14 of the 19 steps in time: thresholds to 0.7 are met.
    assert json.loads(json.dumps(results)) == pytest.approx({
        'frameAP': 75, 'v_map@0.2': 100, 'v_map@0.5': 100,
        'v_map_0.05:0.45': 100, 'v_map_0.10:0.90': 77.7778,
        'v_map_0.50:0.95': 50})


def test_imgaug_does_not_change_numpy():
    before = np.bool
    with pytest.raises((ImportError, AttributeError)):
        ImgAug('default')  # Not installed; and if so, no friend of numpy 2.
    assert np.bool is before


def test_numpy_itself_stays_as_it_is(monkeypatch):
    for name in ('Inf', 'NAN', 'in1d', 'trapz'):
        monkeypatch.delattr(np, name, raising=False)
    before = dict(vars(np))
    compat.restore_numpy_names()
    assert PoseCompact.transform.__globals__['np'].Inf == np.inf
    assert vars(np) == before


def test_the_repairs_are_not_made_on_numpy_1(monkeypatch):
    monkeypatch.setattr(np, '__version__', '1.26.4')
    before = ColorJitter.adjust_hue
    compat.keep_hues_in_range()
    compat.measure_tubes()
    assert ColorJitter.adjust_hue is before


def test_a_view_has_other_names_and_else_the_modules():
    view = view_of(json, dumps='other', more=1)
    assert (view.dumps, view.more, view.loads) == ('other', 1, json.loads)
    view.loads = None
    assert json.loads and json.dumps != 'other'
    with pytest.raises(AttributeError, match='missing'):
        view.missing  # noqa: B018
