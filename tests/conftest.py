import copy
import gc
import json
import os
import shutil
from pathlib import Path

# Before torch is imported, here and in the tools that tests run: toy models
# gain nothing from threads that wait for each other.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: E402, F401

# isort: split
import pytest  # noqa: E402
import torch  # noqa: E402
from mmaction.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402

from mmaction_centerclip.apis import (  # noqa: E402
    VideoTextRetrievalInferencer,
    export_onnx,
    init_retriever,
)
from mmaction_centerclip.clip.feature_settings import SETTINGS  # noqa: E402
from mmaction_centerclip.engine.checkpoints import settings_of  # noqa: E402
from mmaction_centerclip.engine.config import prepare_config  # noqa: E402

from . import processes  # noqa: E402
from .paths import CONFIGS  # noqa: E402

# Each dataset of mmengine collects garbage, for half a second if what was
# imported is looked through too.
gc.freeze()

TINY_ARCH = dict(
    embed_dim=16,
    vision_cfg=dict(
        image_size=32, patch_size=16, width=32, head_width=16, layers=3),
    text_cfg=dict(
        context_length=16, vocab_size=49408, width=32, heads=2, layers=2))
NECK = dict(
    type='TokenClustering', before_block=2, num_segments=2, num_centers=3)


@pytest.fixture(autouse=True)
def _seed():
    """Begin alike, whatever ran before: a runner leaves its scope behind."""
    torch.manual_seed(0)
    processes.forget_runs()
    init_default_scope('mmaction')


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='no GPU'))


@pytest.fixture
def retriever_cfg():
    """A three-block CLIP; a function of its necks."""

    def make(necks=(), **options):
        return dict(
            type='VideoTextRetriever',
            arch=copy.deepcopy(TINY_ARCH),
            backbone=dict(
                type='CLIPVisionTower', necks=copy.deepcopy(list(necks))),
            text_backbone=dict(type='CLIPTextTower', context_length=12),
            head=dict(type='MeanPoolingHead'),
            data_preprocessor=dict(
                type='VideoTextDataPreprocessor',
                mean=[122.771, 116.746, 104.093],
                std=[68.500, 66.632, 70.323],
                format_shape='NCHW'),
            **options)

    return make


@pytest.fixture
def build_retriever(retriever_cfg):
    return lambda *args, **kwargs: MODELS.build(retriever_cfg(*args, **kwargs))


@pytest.fixture
def inputs():
    text = torch.randint(1, 49406, (5, 12))
    text[:, -1] = 49407
    return dict(imgs=torch.randn(5, 4, 3, 32, 32), text=text)


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A few rendered videos: 24 to train, 9 to test."""
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    processes.run_tool('data/shapes/prepare_shapes.py', '--out', folder,
                       '--num-train', 24, '--num-test', 9)
    return folder


@pytest.fixture
def shapes_captions(shapes):
    return json.loads((shapes / 'test.json').read_text())


@pytest.fixture(scope='session')
def tiny_config(shapes, tmp_path_factory):
    """A config file that trains a tiny CenterCLIP on the few videos."""
    cfg = Config.fromfile(
        CONFIGS / 'retrieval/centerclip/'
        'centerclip-b2-2-16_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py')
    cfg.model.arch = dict(
        TINY_ARCH, vision_cfg=dict(TINY_ARCH['vision_cfg'], image_size=64),
        # Of 49408 words: what Adam changes and checkpoints hold is half as much.
        text_cfg=dict(TINY_ARCH['text_cfg'], width=16))
    cfg.model.text_backbone.context_length = 16
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].batch_size = 4
        # Without workers, whose end a run waits for.
        cfg[loader].update(num_workers=0, persistent_workers=False)
        cfg[loader].dataset.data_root = str(shapes)
        for transform in cfg[loader].dataset.pipeline:
            if transform['type'] == 'OpenCLIPTokenize':
                transform['context_length'] = 16
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    cfg.param_scheduler.end = 2
    cfg.default_hooks.checkpoint.max_keep_ckpts = 10
    cfg.default_hooks.logger.interval = 1
    cfg.env_cfg.mp_cfg = dict(mp_start_method='fork', opencv_num_threads=0)
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='session')
def tiny_checkpoint(tiny_config, tmp_path_factory):
    """Random weights of the tiny CenterCLIP, given as a checkpoint."""
    torch.manual_seed(0)
    cfg = Config.fromfile(tiny_config)
    prepare_config(cfg)
    path = tmp_path_factory.mktemp('checkpoint') / 'tiny.pth'
    model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(),
                    meta={SETTINGS: settings_of(model, cfg)}), path)
    return str(path)


@pytest.fixture(scope='session')
def trained(tiny_config, tmp_path_factory):
    """The work dir of a training of the two epochs, and what it printed."""
    folder = tmp_path_factory.mktemp('trained')
    return folder, processes.run_tool('train.py', tiny_config, '--work-dir', folder)


@pytest.fixture
def work(trained, tmp_path):
    """A copy of the work dir of that training."""
    return Path(shutil.copytree(trained[0], tmp_path / 'work'))


@pytest.fixture
def run_tool():
    return processes.run_tool


@pytest.fixture(scope='session')
def inferencer(tiny_config, tiny_checkpoint):
    return VideoTextRetrievalInferencer(
        tiny_config, tiny_checkpoint, 'cpu', show_progress=False)


@pytest.fixture(scope='session')
def exported(tiny_config, tiny_checkpoint, tmp_path_factory):
    """The folder of the tiny CenterCLIP as ONNX files, which nobody may change."""
    pytest.importorskip('onnxruntime')
    folder = tmp_path_factory.mktemp('exported') / 'tiny'
    export_onnx(init_retriever(tiny_config, tiny_checkpoint), folder,
                progress=lambda line: None)
    return folder
