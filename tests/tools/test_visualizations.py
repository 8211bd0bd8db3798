"""The tools that draw, on real videos."""
import re

import cv2
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config

from mmaction_centerclip.clip.feature_settings import SETTINGS, describe_settings
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.evaluation import RetrievalFeatures, save_features
from mmaction_centerclip.visualization import draw_tokens, see_tokens

from ..paths import CONFIGS

VIS, BROWSE = 'visualizations/vis_tokens.py', 'analysis_tools/browse_results.py'
MAE = CONFIGS / 'recognition/videomae/vit-tiny-p16-res64-b2-2-16_8x1x1_1xb72-20e_shapes-color-rgb.py'  # noqa: E501


@pytest.fixture(scope='module')
def checkpoint(tiny_config, tmp_path_factory):
    """Weights whose choice is another than that of the tool's random ones."""
    torch.manual_seed(5)
    model = MODELS.build(Config.fromfile(tiny_config).model)
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    meta = {SETTINGS: describe_settings(model)}
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


def test_pictures_of_a_checkpoint(tiny_config, shapes, checkpoint, tmp_path, run_tool):
    video, out = shapes / 'videos/test0001.mp4', tmp_path / 'tokens.png'
    said = run_tool(VIS, tiny_config, checkpoint, video, '--out', out, '--columns', 8)
    assert said == (f'{out}: 32 of 128 patches kept by TokenClustering(before_block=3, '
                    'num_segments=2, num_centers=16)\n')
    picture = cv2.imread(str(out))[..., ::-1]
    # Without dataset, pipeline and preprocessor, at the frames of UniformSample.
    cfg = Config.fromfile(tiny_config)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(checkpoint)['state_dict'])
    frames = VideoReader(str(video)).get_batch([0, 2, 4, 6, 8, 9, 11, 13]).asnumpy()
    mean, std = (np.array(cfg.model.data_preprocessor[k]) for k in ('mean', 'std'))
    imgs = torch.from_numpy((frames - mean) / std).float().permute(0, 3, 1, 2)[None]
    view, = see_tokens(model.backbone, imgs)
    expected = draw_tokens(frames, view.center[0].numpy(), columns=8)
    assert np.array_equal(picture, expected)


def test_weights_are_never_random_in_silence(
        tiny_config, shapes, checkpoint, tmp_path, run_tool):
    video = shapes / 'videos/test0001.mp4'
    paths = [tmp_path / f'{i}.png' for i in range(3)]
    said = run_tool(VIS, tiny_config, video, '--out', paths[0])
    assert 'checkpoint is missing' in said and '--random' in said
    assert not paths[0].exists()
    said = run_tool(VIS, tiny_config, video, '--out', paths[0], '--random')
    assert said.endswith('num_centers=16), with random weights\n')
    run_tool(VIS, tiny_config, video, '--out', paths[1], '--cfg-options',
             f'model.pretrained={checkpoint}')
    run_tool(VIS, tiny_config, checkpoint, video, '--out', paths[2])
    random, pretrained, loaded = (path.read_bytes() for path in paths)
    assert pretrained == loaded != random
    said = run_tool(VIS, MAE, checkpoint, video, '--out', paths[0])
    assert f'{checkpoint} holds a retriever of this project' in said
    untrained = run_tool(VIS, tiny_config, video, '--out', paths[0], '--cfg-options',
                         f'model.pretrained={checkpoint}',
                         'model.backbone.necks.0.cluster_embed=random')
    assert untrained.startswith('error: pretrained=') and 'cluster_embed' in untrained


def test_pictures_of_a_recogniser(shapes, tmp_path, run_tool):
    """Tubelets of two frames; two necks, two pictures."""
    config = tmp_path / 'two.py'
    config.write_text(f'_base_ = {str(MAE)!r}\nmodel = dict(backbone=dict(necks=[\n'
                      "    dict(type='NormTokenDrop', before_block=2, num_segments=2,\n"
                      '         num_centers=8),\n'
                      "    dict(type='DuplicateTokenDrop', before_block=3,\n"
                      '         num_segments=2, num_centers=5)]))\n')
    out = tmp_path / 'tokens.png'
    said = run_tool(VIS, config, shapes / 'videos/test0001.mp4', '--out', out,
                    '--random')
    kept = re.findall(r'tokens_(\d)\.png: (\d+) of 64 patches', said)
    assert kept == [('1', '16'), ('2', '10')]
    for number, count in kept:
        picture = cv2.imread(str(tmp_path / f'tokens_{number}.png'))
        assert picture.shape == (2 * 128 + 4, 4 * 128 + 12, 3)
        # Each kept patch has a white border in both frames of its tubelet.
        corners = [(picture[y * 132 + r * 32:, x * 132 + c * 32:][:2, :2] == 255).all()
                   for y in range(2) for x in range(4) for r in range(4)
                   for c in range(4)]
        assert sum(corners) == 2 * int(count)
    assert not out.exists()


@pytest.mark.parametrize('args, message', [
    (['none.mp4', '--random', '--out', 'a.png'], 'none.mp4: no such file'),
    (['{video}', '--out', 'a.gif'], '--out must be a .png or .jpg file'),
    (['{video}', '--out', 'none/a.png'], 'there is no folder none'),
    (['none.pth', '{video}', '--out', 'a.png'], 'no such file: none.pth'),
    (['{video}', '--random', '--out', 'a.png', '--cfg-options',
      'model.backbone.necks=[]'], 'has no necks'),
])
def test_what_the_tool_refuses(args, message, tiny_config, shapes, tmp_path,
                               monkeypatch, run_tool):
    monkeypatch.chdir(tmp_path)
    args = [arg.format(video=shapes / 'videos/test0001.mp4') for arg in args]
    said = run_tool(VIS, tiny_config, *args)
    assert said.startswith('error: ') and message in said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def features(tmp_path):
    """Features of vectors, of which the second caption finds its video last."""
    torch.manual_seed(0)
    video, names = torch.eye(4), [f'data/old/test000{i}.mp4' for i in range(3)]
    text = torch.eye(4)[[0, 2, 2, 3]] + 0.1 * torch.eye(4)[[1, 0, 3, 0]]
    path = tmp_path / 'features.pth'
    save_features(RetrievalFeatures(
        dict(video=video), dict(text=text), torch.arange(4),
        [*names, 'data/old/<i>gone.mp4'], ['one', '<b>two</b>', 'three', 'four']),
        str(path))
    return path


def test_browsing_results(features, shapes, tmp_path, run_tool):
    out = tmp_path / 'results.html'
    said = run_tool(BROWSE, features, '--videos', shapes / 'videos', '--out', out)
    assert '4 captions, 4 videos' in said
    assert said.endswith(f'{out}: 1 worst queries, 1 pairs of captions\n')
    page = out.read_text()
    assert '<h3>&lt;b&gt;two&lt;/b&gt;</h3>\n<p class="faint">Rank 3.5 of 4</p>' in page
    assert '<h3>A. &lt;b&gt;two&lt;/b&gt;<br>B. three</h3>' in page
    assert ('3. test0001.mp4 0.000 right; '
            '4. &lt;i&gt;gone.mp4 0.000 (no such file)') in page
    assert '<b>' not in page and '<i>' not in page and '://' not in page


@pytest.mark.parametrize('args, message', [
    (['--videos', 'none', '--out', 'a.html'], 'no such folder: none'),
    (['--videos', '.', '--out', 'a.html'], 'none of the 4 videos is there'),
    (['--videos', '.', '--out', 'none/a.html'], 'there is no folder none'),
])
def test_what_browsing_refuses(args, message, features, tmp_path, monkeypatch,
                               run_tool):
    monkeypatch.chdir(tmp_path)
    said = run_tool(BROWSE, features, *args)
    assert said.startswith('error: ') and message in said
    assert [path.name for path in tmp_path.iterdir()] == ['features.pth']
