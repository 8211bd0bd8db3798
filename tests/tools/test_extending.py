"""A reducer and a host from outside the package, trained by the tool."""
from textwrap import dedent

from mmengine.config import Config

OUTSIDE = '''
    from mmaction.registry import MODELS
    from timm.models.vision_transformer import VisionTransformer
    from mmaction_centerclip.models.backbones import VideoTower
    from mmaction_centerclip.models.necks import TokenNeck

    @MODELS.register_module()
    class EveryOther(TokenNeck):
        def forward(self, tokens):
            positions = None if tokens.positions is None else tokens.positions[:, :, ::2]
            return tokens.replace(patches=tokens.patches[:, :, ::2], positions=positions)

    @MODELS.register_module()
    class OutsideTower(VideoTower, VisionTransformer):
        def __init__(self, necks=(), arch=None, **kwargs):
            super().__init__(**kwargs)
            self.attach(necks)
        def frames_to_tokens(self, imgs):
            return self._pos_embed(self.patch_embed(imgs.flatten(0, 1)))
        def tower_blocks(self):
            return self.blocks
        def block_halves(self, b):
            return lambda x: x + b.ls1(b.attn(b.norm1(x))), lambda x: x + b.ls2(b.mlp(b.norm2(x)))
        def tokens_to_features(self, x):
            return self.norm(x)[:, 0]
        def patch_positions(self):
            return self.pos_embed[0, 1:]
'''  # noqa: E501


def test_a_config_trains_a_reducer_and_a_host_from_outside(
        run_tool, tiny_config, tmp_path, monkeypatch):
    (tmp_path / 'outside.py').write_text(dedent(OUTSIDE))
    cfg = Config.fromfile(tiny_config)
    cfg.custom_imports.imports.append('outside')
    cfg.model.frozen_layers = 1
    cfg.model.backbone = dict(
        type='OutsideTower', img_size=64, patch_size=16, embed_dim=16, depth=3,
        num_heads=2, num_classes=0,
        necks=[dict(type='EveryOther', before_block=2),
               dict(type='TokenClustering', before_block=3, num_segments=2,
                    num_centers=5)])
    cfg.dump(tmp_path / 'config.py')
    monkeypatch.syspath_prepend(tmp_path)
    said = run_tool('train.py', tmp_path / 'config.py', '--work-dir', tmp_path / 'work',
                    '--cfg-options', 'train_cfg.max_epochs=1',
                    'train_cfg.val_interval=1')
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()
    assert 't2v/R1' in said
