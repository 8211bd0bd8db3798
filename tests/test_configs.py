"""The configs: what their names say, and their settings."""
import copy
import functools
import json
import re

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from mmaction_centerclip.clip.models import clip_config
from mmaction_centerclip.engine.config import prepare_config

from .paths import CONFIGS

RETRIEVAL = sorted((CONFIGS / 'retrieval').glob('*/*.py'))
NAME = re.compile(
    r'(?P<method>clip4clip|centerclip|tempme)(-(?P<kind>spectral|p1))?'
    r'(-b(?P<after_blocks>\d+)-(?P<segments>\d+)-(?P<centers>\d+))?'
    r'(-(?P<head>seqtransf|seqlstm|tighttransf|wti|xpool))?(-(?P<tuning>lora))?'
    r'_(?P<tower>videomae-)?vit-(?P<size>base|large|tiny)-p(?P<patch>\d+)-res(?P<res>\d+)'
    r'(-(?P<pre>clip|pe-core|siglip2|datacomp)-pre)?'
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-u(?P<frames>\d+)-(?P<epochs>\d+)e'
    r'_(?P<dataset>.+)-rgb')
HEADS = {
    None: 'MeanPoolingHead',
    'seqtransf': 'SequentialTransformerHead',
    'seqlstm': 'SequentialLSTMHead',
    'tighttransf': 'TightTransformerHead',
    'wti': 'WeightedTokenInteractionHead',
    'xpool': 'TextConditionedPoolingHead',
}
# Folder of the data, annotations to train on and to test on, words of a caption.
DATA = {
    'msvd': ('msvd', 'train.json', 'test.json', 32),
    'activitynet': ('activitynet', 'train.json', 'val_1.json', 77),
    'msrvtt-9k': ('msrvtt', 'train_9k.json', 'test_JSFUSION.json', 32),
    'msrvtt-7k': ('msrvtt', 'train_7k.json', 'test_JSFUSION.json', 32),
    'msrvtt-full': ('msrvtt', 'train_7k.json', 'test_full.json', 32),
    'lsmdc': ('lsmdc', 'train.json', 'test.json', 32),
    'didemo': ('didemo', 'train.json', 'test.json', 64),
    'shapes': ('shapes', 'train.json', 'test.json', 32),
    'shapes-motion': ('shapes_motion', 'train.json', 'test.json', 32),
    'shapes-hard': ('shapes_hard', 'train.json', 'test.json', 32),
    'shapes-moving': ('shapes_moving', 'train.json', 'test.json', 32),
    'own': ('my_data', 'train.json', 'test.json', 32),
    'shapes-long': ('shapes_long', 'train.json', 'test.json', 32),
}
# The arch and the tag of weights other than OpenAI's.
PRETRAINED = {
    'pe-core': ('PE-Core-B-16', 'meta'),
    'siglip2': ('ViT-B-16-SigLIP2', 'webli'),
    'datacomp': ('ViT-L-14', 'datacomp_xl_s13b_b90k'),
}
every_config = pytest.mark.parametrize(
    'path', RETRIEVAL, ids=lambda path: path.stem)


@functools.cache
def read(path):
    return Config.fromfile(path)


def config(path):
    return copy.deepcopy(read(path))


def of_name(path):
    return NAME.fullmatch(path.stem).groupdict()


def thin(model):
    """The model's config, thin and of as few blocks as its necks need."""
    model = copy.deepcopy(model)
    blocks = [n.before_block for n in model.backbone.get('necks', ())]
    depth = max([max(b) if isinstance(b, list) else b for b in blocks], default=1)
    patch, size = ((32, 224) if 'B-32' in str(model.arch) else
                   (14, 140) if 'L-14' in str(model.arch) else (16, 128))
    if isinstance(model.arch, str):
        model.arch = dict(
            embed_dim=16,
            vision_cfg=dict(image_size=size, patch_size=patch, width=32, head_width=16,
                            layers=depth),
            text_cfg=dict(context_length=model.text_backbone.get('context_length', 9),
                          vocab_size=99, width=32, heads=2, layers=1))
        if 'embed_dims' in model.head:
            model.head.embed_dims = 16
    model.pretrained = None
    return model


def build(model):
    torch.manual_seed(0)
    return MODELS.build(thin(model)).eval()


@torch.no_grad()
def encode(model, frames):
    """Features of a video whose last frame is padding."""
    torch.manual_seed(0)
    imgs = torch.randn(1, frames, 3, *(model.backbone.image_size or (64, 64)))
    mask = torch.arange(frames)[None] < frames - 1
    return model(dict(imgs=imgs, text=torch.ones(1, 5).long(), frame_mask=mask))


@functools.cache
def _features_of(model, frames):
    model = build(Config(json.loads(model)))
    out = encode(model, frames)
    return out, model.head.similarity(out, out)


@every_config
def test_a_config_is_what_its_name_says(path):
    cfg, name = config(path), of_name(path)
    prepare_config(cfg)  # Its model is fed what it knows.
    folder, train, test, words = DATA[name['dataset']]
    assert cfg.model.text_backbone.get('context_length', words) == words
    for loader, annotations in ((cfg.train_dataloader, train),
                                (cfg.test_dataloader, test)):
        assert loader.dataset.data_root.split('/')[-1] == folder
        assert loader.dataset.ann_file == annotations
        steps = {step.type: step for step in loader.dataset.pipeline}
        assert steps['OpenCLIPTokenize'] == dict(
            type='OpenCLIPTokenize', model=cfg.model.arch, context_length=words)
        sample = loader.dataset.pipeline[1]
        assert sample.clip_len == int(name['frames'])
        if name['size'] != 'tiny':
            assert sample.type == 'SampleFramesWithMask'
            assert steps['OpenCLIPResize'] == dict(
                type='OpenCLIPResize', model=cfg.model.arch,
                pretrained=cfg.model.pretrained)
            assert clip_config(cfg.model.arch)['vision_cfg']['image_size'] == int(
                name['res'])
        else:
            assert sample.type == 'UniformSample'
    assert cfg.val_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline
    assert cfg.train_dataloader.batch_size == int(name['batch'])
    assert cfg.auto_scale_lr.base_batch_size == int(name['gpus']) * int(
        name['batch'])
    assert cfg.train_cfg.max_epochs == int(name['epochs'])
    if cfg.param_scheduler.type == 'LinearWarmupCosineLR':
        assert cfg.param_scheduler.end == cfg.train_cfg.max_epochs
    if name['pre'] in PRETRAINED:
        assert (cfg.model.arch, cfg.model.pretrained) == PRETRAINED[name['pre']]
    elif name['size'] == 'base':
        assert cfg.model.arch == f'ViT-B-{name["patch"]}-quickgelu'
        assert cfg.model.pretrained == 'openai'
    else:
        assert cfg.model.arch.vision_cfg.image_size == int(name['res'])
    assert (cfg.model.backbone.type == 'VideoMAETower') == (name['tower'] is not None)
    assert cfg.model.head.type == HEADS[name['head']]
    is_tempme = name['method'] == 'tempme'
    assert ('lora' in cfg.model) == (name['tuning'] == 'lora' or is_tempme)
    necks = cfg.model.backbone.get('necks', [])
    assert len(necks) == (3 if is_tempme else name['method'] == 'centerclip')
    for neck in necks * (not is_tempme):
        assert (neck.before_block - 1, neck.num_segments, neck.num_centers) == (
            int(name['after_blocks']), int(name['segments']), int(name['centers']))
        assert neck.type == ('SpectralTokenClustering' if name['kind'] ==
                             'spectral' else 'TokenClustering')
        assert neck.get('p', 2) == (1 if name['kind'] == 'p1' else 2)


@every_config
def test_every_config_builds_and_encodes(path):
    model, name = thin(config(path).model), of_name(path)
    # A model that several data sets share is built once.
    out, scores = _features_of(json.dumps(model.to_dict()), int(name['frames']))
    # A frame of VideoMAE's is a tubelet of two.
    segments = int(name['segments'] or name['frames']) // (2 if name['tower'] else 1)
    assert out['segments'].shape[:2] == (1, segments)
    assert scores.shape == (1, 1) and scores.isfinite().all()


@every_config
def test_a_variant_config_states_only_its_difference(path):
    lines = path.read_text().splitlines()
    if lines[0].startswith("_base_ = '"):
        assert len(lines) <= 20


def test_no_pipeline_is_edited_by_index():
    for path in CONFIGS.rglob('*.py'):
        assert not re.search(r'pipeline\[\d+\]', path.read_text()), path


def optimizer_of(cfg):
    options = cfg.optim_wrapper
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type=options.pop('constructor'),
             paramwise_cfg=options.pop('paramwise_cfg'),
             optim_wrapper_cfg=options))
    return constructor(build(cfg.model))


@pytest.mark.parametrize('dataset, lr', [
    ('msrvtt-9k', 5e-3), ('activitynet', 1e-2), ('didemo', 1e-4), ('shapes', 1e-3)])
def test_optimizer(dataset, lr):
    path = next(path for path in RETRIEVAL if of_name(path)['head'] is None
                and of_name(path)['tuning'] is None
                and of_name(path)['tower'] is None
                and of_name(path)['method'] == 'clip4clip'
                and of_name(path)['dataset'] == dataset)
    cfg = config(path)
    is_paper = dataset != 'shapes'
    assert cfg.optim_wrapper.type == (
        'AmpOptimWrapper' if is_paper else 'OptimWrapper')
    if is_paper and torch.cuda.is_available():
        wrapper = optimizer_of(cfg)
        assert isinstance(wrapper, AmpOptimWrapper)
        assert wrapper.loss_scaler.is_enabled() and wrapper.cast_dtype is None
        assert torch.get_autocast_dtype('cuda') == torch.float16
        cfg = config(path)
    # As a README says for machines without a GPU; nothing else is to change.
    cfg.merge_from_dict({'optim_wrapper.type': 'OptimWrapper'})
    wrapper = optimizer_of(cfg)
    assert type(wrapper) is OptimWrapper
    assert wrapper.clip_grad_kwargs == dict(max_norm=1.0)
    assert {group['lr'] for group in wrapper.optimizer.param_groups} == {
        lr * (1e-3 if is_paper else 1)}
    if dataset in ('msrvtt-9k', 'activitynet'):
        assert lr * cfg.param_scheduler.floor_ratio == pytest.approx(1e-8)


@pytest.mark.parametrize('dataset', sorted(
    path.stem for path in (CONFIGS / '_base_' / 'datasets').glob('*.py')))
def test_pipelines_read_a_video(dataset, shapes):
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{dataset}.py')
    video = str(next((shapes / 'videos').iterdir()))
    size = 64 if 'shapes' in dataset else 224
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        steps = {step.type: step for step in loader.dataset.pipeline}
        pipeline = Compose([TRANSFORMS.build(step) for step in steps.values()])
        inputs = pipeline(dict(
            filename=video, start_index=0, text=['a shape']))['inputs']
        sample = loader.dataset.pipeline[1]
        assert inputs['imgs'].shape == (sample.clip_len, 3, size, size)
        assert inputs['text'].shape == (1, steps['OpenCLIPTokenize'].context_length)
        if 'frame_mask' in inputs:
            # The video has 16 frames, 8 a second.
            available = 2 if 'frames_per_second' in sample else 16
            assert inputs['frame_mask'].sum() == min(sample.clip_len, available)
