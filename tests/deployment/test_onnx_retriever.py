"""An exported folder in the place of a config and a checkpoint."""
import json
import shutil

import numpy as np
import pytest
import torch

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.deployment.onnx_retriever import OnnxRetriever
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex, remembered_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def deployed(exported):
    return VideoTextRetrievalInferencer(exported, show_progress=False)


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of the folder, and a function to change its manifest."""
    folder = tmp_path / 'copy'
    shutil.copytree(exported, folder)

    def change(**values):
        path = folder / 'model.json'
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        return folder

    return change


def test_features_and_ranks_are_those_of_torch(inferencer, deployed, shapes):
    videos, texts = [str(shapes / 'videos')], ['a red circle', 'a star']
    for encode, inputs in ('encode_videos', videos), ('encode_texts', texts):
        expected, got = (getattr(x, encode)(inputs) for x in (inferencer, deployed))
        assert got.names == expected.names
        for name, x in expected.features.items():
            torch.testing.assert_close(got.features[name], x, rtol=0, atol=1e-5)
    expected, got = (x(videos, texts, batch_size=3)['predictions']
                     for x in (inferencer, deployed))
    assert [row['videos'] for row in got] == [row['videos'] for row in expected]


def test_an_index_of_either_takes_the_other(inferencer, deployed, shapes, tmp_path):
    path = tmp_path / 'my.index'
    index = VideoIndex(path, inferencer)
    added = index.add(shapes / 'videos')
    expected = index.search('a red circle')
    index.close()
    index = VideoIndex(path, deployed)
    assert len(index.add(shapes / 'videos').unchanged) == len(added.indexed)
    got = index.search('a red circle')
    index.close()
    assert [(hit.file, hit.start, hit.end) for hit in got] == [
        (hit.file, hit.start, hit.end) for hit in expected]
    assert [hit.score for hit in got] == pytest.approx(
        [hit.score for hit in expected], abs=1e-3)
    # Which the last one has written.
    assert remembered_model(path) == (deployed.model.folder, None)


def test_segments_have_the_same_times(inferencer, deployed, tmp_path):
    clip = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
    encoded = []
    for each in inferencer, deployed:
        sample = each.pipeline.prepare(each.pipeline.open(clip))
        encoded.append(each.model.encode_segments(each.batch([sample])))
    assert encoded[1].starts.tolist() == [[0, 4]]
    assert torch.equal(encoded[0].mask, encoded[1].mask)


def test_other_weights_are_another_model_to_an_index(deployed, copy):
    other = OnnxRetriever(copy(precision='int8'), 'cpu').fingerprint
    assert len(other) == len(deployed.model.fingerprint)
    assert other != deployed.model.fingerprint


def test_a_checkpoint_beside_it_is_refused(exported):
    with pytest.raises(InputError, match='has its weights; got the checkpoint a.pth'):
        VideoTextRetrievalInferencer(exported, 'a.pth')


@pytest.mark.parametrize('values, said', [
    (dict(format='onnx'), 'format must be'),
    (dict(width='wide'), "width must be a int, got 'wide'"),
    (dict(frames={}), "no 'count'"),
    (dict(frames=dict(count=8, size=[64, -1])), 'frames must have a count'),
    (dict(files={}), 'files lacks'),
    (dict(config=None), 'has no config'),
    (dict(config='__import__("os")'), 'its config is damaged'),
])
def test_a_manifest_that_does_not_fit(copy, values, said):
    with pytest.raises(InputError, match=said):
        OnnxRetriever(copy(**values), 'cpu')


def test_files_that_do_not_fit(copy, tmp_path):
    with pytest.raises(InputError, match='no exported model: it has no model.json'):
        OnnxRetriever(tmp_path, 'cpu')
    folder = copy()
    files = json.loads((folder / 'model.json').read_text())['files']
    with pytest.raises(InputError, match='names .*, expected files of the folder'):
        OnnxRetriever(copy(files={**files, '../a.onnx': '0'}), 'cpu')
    copy(files=files)
    (folder / 'w.bin').write_bytes(b'weights that a file may read')
    with pytest.raises(InputError, match="holds 'w.bin', which model.json does not"):
        OnnxRetriever(folder, 'cpu')
    (folder / 'w.bin').unlink()
    (folder / 'head.onnx').write_bytes(b'no model')
    with pytest.raises(InputError, match='head.onnx is another file'):
        OnnxRetriever(folder, 'cpu')
    (folder / 'head.onnx').unlink()
    with pytest.raises(InputError, match='head.onnx is missing'):
        OnnxRetriever(folder, 'cpu')
