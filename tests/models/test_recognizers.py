"""Towers in the zoo's recognisers: checkpoints, real clips, training."""
import copy

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.runner import Runner, load_checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import CLIPVisionTower, VideoTowerBackbone

from ..conftest import TINY_ARCH
from ..paths import CONFIGS
from .test_hosts import NECK

RECOGNITION = sorted((CONFIGS / 'recognition').glob('*/*.py'))
KINETICS = [path for path in RECOGNITION if 'kinetics' in path.stem]
STOCK = dict(VideoMAETower='VisionTransformer', TimeSformerTower='TimeSformer')
each_config = pytest.mark.parametrize('path', KINETICS, ids=lambda path: path.stem)


def necks_of(backbone):
    return backbone.get('tower', backbone).get('necks', [])


def thin(path):
    """A config's model, thin, of fewer blocks, and without a download."""
    model = Config.fromfile(path).model
    backbone = model.backbone
    depth = max([neck.before_block for neck in necks_of(backbone)], default=1)
    if backbone.type == 'VideoTowerBackbone':
        backbone.pretrained = None
        backbone.tower.arch = dict(
            embed_dim=32, text_cfg=TINY_ARCH['text_cfg'], vision_cfg=dict(
                image_size=224, patch_size=16, width=32, head_width=16, layers=depth))
    elif backbone.type == 'VideoMAETower':
        backbone.update(embed_dims=32, num_heads=2, depth=depth)
    else:
        backbone.update(embed_dims=32, num_heads=2, num_transformer_layers=depth,
                        pretrained=None)
    model.cls_head.in_channels = 32
    return model


def stock_of(model):
    """The zoo's config that it is made of, or CLIP's without necks."""
    model = copy.deepcopy(model)
    if 'tower' in model.backbone:
        model.backbone.tower.pop('necks', None)
    else:
        model.backbone.pop('necks', None)
        model.backbone.type = STOCK[model.backbone.type]
    return model


@each_config
def test_a_config_changes_type_and_necks_only(path):
    cfg = Config.fromfile(path)
    assert len(path.read_text().splitlines()) <= 20
    assert 'mmaction_centerclip' in cfg.custom_imports.imports
    base = Config.fromfile(path).model
    if 'tower' not in base.backbone:
        line = path.read_text().splitlines()[0]
        zoo = Config.fromstring(f'{line}\n', '.py')
        assert stock_of(base) == zoo.model
        for part in ('train_dataloader', 'test_dataloader', 'optim_wrapper'):
            assert cfg.get(part) == zoo.get(part)


@pytest.mark.slow
@each_config
def test_a_checkpoint_of_the_zoos_loads_strictly(path, tmp_path, shapes):
    """And a real clip goes forward and backward through the stock pipeline."""
    cfg, model = Config.fromfile(path), thin(path)
    stock = MODELS.build(stock_of(model))
    stock.init_weights()
    torch.save(dict(state_dict=stock.state_dict(), meta={}), tmp_path / 'zoo.pth')
    ours = MODELS.build(model)
    load_checkpoint(ours, str(tmp_path / 'zoo.pth'), strict=True)
    for name, value in stock.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)

    steps = cfg.get('train_pipeline', cfg.test_pipeline)
    # One view of each, as in training, where VideoMAE's have no pipeline.
    one = dict(SampleFrames=dict(num_clips=1), ThreeCrop=dict(type='CenterCrop'))
    steps = [dict(step, **one.get(step.type, {})) for step in steps]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    videos = sorted((shapes / 'videos').iterdir())[:2]
    batch = pseudo_collate([
        pipeline(dict(filename=str(video), start_index=0, modality='RGB', label=label))
        for label, video in enumerate(videos)])
    data = ours.data_preprocessor(batch, training=True)
    loss = ours(**data, mode='loss')['loss_cls']
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None for p in ours.backbone.parameters())
    ours.eval()
    scores = ours(**data, mode='predict')[0].pred_score
    assert scores.shape == (400, )
    torch.testing.assert_close(scores.sum(), torch.tensor(1.0))


def test_a_function_may_pick_the_tower():
    backbone = MODELS.build(dict(type='VideoTowerBackbone', tower=dict(
        type='OpenCLIPVisionTower', arch=TINY_ARCH, necks=[NECK])))
    assert isinstance(backbone.tower, CLIPVisionTower)
    assert backbone(torch.rand(2, 3, 8, 32, 32)).shape == (2, 16)


@pytest.mark.slow
def test_the_shapes_configs_train_and_resume(shapes, tmp_path):
    plain, clustered = sorted(
        (p for p in RECOGNITION if 'shapes' in p.stem), key=lambda p: '-b2-' in p.stem)
    cfg = Config.fromfile(plain)
    assert not cfg.model.backbone.get('necks')
    cfg = Config.fromfile(clustered)
    assert cfg.model.cls_head.num_classes == 8
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=0, persistent_workers=False, batch_size=8)
        cfg[name].dataset.data_root = str(shapes)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler = []
    cfg.work_dir = str(tmp_path)
    Runner.from_cfg(cfg).train()
    saved = tmp_path / 'epoch_1.pth'
    assert saved.is_file() and len([*tmp_path.glob('best_acc_top1*.pth')]) == 1
    cfg.train_cfg.max_epochs = 2
    cfg.update(load_from=str(saved), resume=True)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.epoch == 2


class TestVideoTowerBackbone:

    def config(self, **options):
        return dict(dict(type='CLIPVisionTower', arch=TINY_ARCH), **options)

    @torch.no_grad()
    def test_the_mean_of_the_segments(self, imgs):
        backbone = VideoTowerBackbone(self.config(necks=[NECK])).eval()
        features, _ = backbone.tower.encode(imgs)
        assert features.shape == (3, 2, 16) and backbone.embed_dims == 16
        torch.testing.assert_close(
            backbone(imgs.transpose(1, 2)), (features[:, 0] + features[:, 1]) / 2)

    def test_starts_from_clips_weights(self, tmp_path, build_retriever):
        retriever = build_retriever()
        torch.save(retriever.state_dict(), tmp_path / 'clip.pth')
        backbone = VideoTowerBackbone(
            self.config(necks=[dict(NECK, cluster_embed='clip')]),
            pretrained=str(tmp_path / 'clip.pth'))
        backbone.init_weights()
        tower = backbone.tower
        for name, value in retriever.backbone.state_dict().items():
            assert torch.equal(tower.state_dict()[name], value)
        assert torch.equal(tower.necks[0].cluster_embed, tower.patch_positions()[:3])

    def test_bad_options_are_named(self):
        with pytest.raises(InputError, match='SwinTransformer3D takes no necks: it at'):
            VideoTowerBackbone(dict(type='SwinTransformer3D', necks=[NECK]))
        with pytest.raises(InputError, match='ResNet takes no necks'):
            VideoTowerBackbone(dict(type='ResNet', depth=18))
        with pytest.raises(InputError, match="arch .* TimmVisionTower has none"):
            VideoTowerBackbone(
                dict(type='TimmVisionTower', depth=1), pretrained='openai')
        for tower in (None, 3, dict(arch='ViT-B-32')):
            with pytest.raises(InputError, match='tower must be (a dict|the config)'):
                VideoTowerBackbone(tower)

    def test_the_tower_is_one_of_clip(self):
        assert isinstance(VideoTowerBackbone(self.config()).tower, CLIPVisionTower)
