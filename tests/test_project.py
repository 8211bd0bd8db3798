"""What the project's files promise each other."""
import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import load

from .paths import CONFIGS, ROOT

RETRIEVAL = sorted((CONFIGS / 'retrieval').glob('*/*.py'))


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r'```bash\n(pip .*)\n```',
                          (ROOT / 'README.md').read_text())
    assert len(commands) == 2
    assert commands[1] in (ROOT / '.ci/run').read_text().splitlines()


def reduced(cfg):
    """The config's model, thin and of as few blocks as its necks need."""
    depth = max([n.before_block for n in cfg.model.backbone.get('necks', ())],
                default=1)
    patch = 16 if 'B-16' in str(cfg.model.arch) else 32
    context = cfg.model.text_backbone.context_length
    if isinstance(cfg.model.arch, str):
        cfg.model.arch = dict(
            embed_dim=16,
            vision_cfg=dict(image_size=128 if patch == 16 else 224,
                            patch_size=patch, width=32, head_width=16,
                            layers=depth),
            text_cfg=dict(context_length=context, vocab_size=99, width=32,
                          heads=2, layers=1))
        if 'embed_dims' in cfg.model.head:
            cfg.model.head.embed_dims = 16
    cfg.model.pretrained = None
    return MODELS.build(cfg.model).eval()


@torch.no_grad()
@pytest.mark.parametrize('path', RETRIEVAL, ids=lambda path: path.stem)
def test_every_config_builds_and_encodes(path):
    cfg = Config.fromfile(path)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        context, = {
            t.context_length
            for t in loader.dataset.pipeline if t.type == 'OpenCLIPTokenize'
        }
        assert context == cfg.model.text_backbone.context_length
    frames = cfg.test_dataloader.dataset.pipeline[1].clip_len
    assert f'-u{frames}-' in path.stem
    batch, per_gpu = re.search(r'_(\d+)xb(\d+)-', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(per_gpu)
    assert cfg.auto_scale_lr.base_batch_size == int(batch) * int(per_gpu)
    assert f'-{cfg.train_cfg.max_epochs}e_' in path.stem
    if cfg.param_scheduler.type == 'LinearWarmupCosineLR':
        assert cfg.param_scheduler.end == cfg.train_cfg.max_epochs
    model = reduced(cfg)
    imgs = torch.randn(1, frames, 3, *model.backbone.image_size)
    out = model(dict(imgs=imgs, text=torch.ones(1, 5).long()))
    segments = frames
    place = re.match(r'centerclip-(spectral-)?b(\d+)-(\d+)-(\d+)[-_]',
                     path.stem)
    if place:
        segments = int(place[3])
        neck, = model.backbone.necks
        assert (neck.before_block, neck.num_segments, neck.num_centers) == (
            int(place[2]) + 1, segments, int(place[4]))
        assert ('Spectral' in type(neck).__name__) == bool(place[1])
    assert out['segments'].shape[:2] == (1, segments)
    scores = model.head.similarity(out, out)
    assert scores.shape == (1, 1) and scores.isfinite().all()


def test_the_model_index_lists_every_config():
    metafiles = load(ROOT / 'model-index.yml')['Import']
    models = [m for f in metafiles for m in load(ROOT / f)['Models']]
    assert sorted(ROOT / m['Config'] for m in models) == RETRIEVAL
    for model in models:
        assert model['Name'] == model['Config'].split('/')[-1][:-3]


@pytest.mark.parametrize('path', RETRIEVAL, ids=lambda path: path.stem)
def test_a_variant_config_states_only_its_difference(path):
    lines = path.read_text().splitlines()
    if lines[0].startswith("_base_ = '"):
        assert len(lines) <= 20
