"""A zoo backbone as a retriever's video tower, trained and tested by the tools."""
import pytest
import torch
from mmaction.models.backbones import VisionTransformer as VideoMAE
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader
from open_clip.model import CLIP

from ..reference.work_dirs import evaluations_of

SIZES = dict(img_size=64, patch_size=16, embed_dims=24, depth=3, num_heads=2,
             mlp_ratio=2, num_frames=8, qkv_bias=True)


@pytest.fixture
def config(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    torch.save(CLIP(**cfg.model.arch).state_dict(), tmp_path / 'clip.pt')
    torch.save({f'backbone.{k}': v for k, v in VideoMAE(**SIZES).state_dict().items()},
               tmp_path / 'mae.pth')
    # Eight frames are four tubelets.
    neck = dict(type='TokenClustering', before_block=2, num_segments=2, num_centers=8)
    cfg.model.update(
        backbone=dict(type='VideoMAETower', necks=[neck], **SIZES),
        pretrained=str(tmp_path / 'clip.pt'),
        video_pretrained=str(tmp_path / 'mae.pth'), video_projection=True)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler.end = 1
    path = tmp_path / 'config.py'
    cfg.dump(path)
    return path


@pytest.mark.slow
def test_a_videomae_trains_and_tests_as_a_video_tower(run_tool, config, tmp_path):
    run_tool('train.py', config, '--work-dir', tmp_path / 'train')
    path = tmp_path / 'train/epoch_1.pth'
    trained = CheckpointLoader.load_checkpoint(str(path), 'cpu')['state_dict']
    start = torch.load(tmp_path / 'mae.pth')
    for key in start.keys() - {'backbone.pos_embed'}:
        assert not torch.equal(trained[key], start[key]), key
        torch.testing.assert_close(trained[key], start[key], rtol=0, atol=0.05)
    run_tool('test.py', config, path, '--work-dir', tmp_path / 'test')
    expected, = evaluations_of(tmp_path / 'train')
    tested, = evaluations_of(tmp_path / 'test', 'test')
    assert tested == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_without_the_projection_the_tool_says_so(run_tool, config, tmp_path):
    said = run_tool('train.py', config, '--work-dir', tmp_path, '--cfg-options',
                    'model.video_projection=False')
    assert said.startswith('error: backbone: the video tower')
    assert said.endswith('they must be the same, or video_projection=True')
