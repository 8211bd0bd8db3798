"""Heads that train on features of frozen towers, read from a file."""
import json
import shutil

import pytest
import torch
from mmaction.registry import DATASETS, MODELS, RUNNERS
from mmengine.config import Config

from mmaction_centerclip.datasets.caching.feature_cache import recipe_of
from mmaction_centerclip.datasets.transforms import OpenCLIPResize, VideoInit
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError

from ..conftest import TINY_ARCH

TOOL = 'data/cache_features.py'
HEAD = dict(type='WeightedTokenInteractionHead', embed_dims=16)


@pytest.fixture
def cfg(tiny_config, shapes, tmp_path):
    """Two epochs of a head on frozen towers, of six videos, one with two captions."""
    shutil.copytree(shapes / 'videos', tmp_path / 'videos')
    names = sorted(path.name for path in (tmp_path / 'videos').glob('train*'))[:6]
    content = {name: [f'a shape of number {i}'] for i, name in enumerate(names)}
    content[names[0]] += ['another one']
    (tmp_path / 'train.json').write_text(json.dumps(content))
    cfg = Config.fromfile(tiny_config)
    cfg.model.update(frozen_towers=True, head=HEAD)
    cfg.train_dataloader.dataset.update(data_root=str(tmp_path), captions='all')
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'UniformSample':
            step.test_mode = True
    cfg.train_cfg.update(max_epochs=2, val_interval=3)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.param_scheduler.end = 2
    # Adam makes a step of a gradient that is nothing but rounding, too.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.1)
    cfg.work_dir = str(tmp_path / 'run')
    return cfg


@pytest.fixture
def checkpoint(cfg, tmp_path):
    torch.manual_seed(1)
    complete = cfg.copy()
    prepare_config(complete)
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(complete.model).state_dict()), path)
    return str(path)


def fill(cfg, checkpoint, tmp_path, run_tool, *options):
    cfg.dump(tmp_path / 'config.py')
    return run_tool(TOOL, tmp_path / 'config.py', checkpoint, '--cache',
                    tmp_path / 'features.db', '--num-workers', 0, '--device', 'cpu',
                    *options)


def train(cfg, checkpoint, work_dir, features=None):
    """Return the losses of all steps, and the weights at the end."""
    cfg = cfg.copy()
    cfg.work_dir, cfg.load_from = str(work_dir), checkpoint
    if features:
        cfg.train_dataloader.dataset.features = str(features)
    runner = RUNNERS.build(cfg)
    runner.train()
    lines = next(work_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    return [json.loads(line)['loss'] for line in lines], runner.model.state_dict()


@pytest.mark.slow
def test_training_on_features_is_training_on_videos(cfg, checkpoint, tmp_path, run_tool,
                                                    monkeypatch):
    assert 'features of 6 of 6 videos' in fill(cfg, checkpoint, tmp_path, run_tool)
    losses, weights = train(cfg, checkpoint, tmp_path / 'videos_run')
    opened = []
    monkeypatch.setattr(VideoInit, 'transform',
                        lambda self, results: opened.append(results['filename']))
    assert 'features of 6 of 6' in fill(cfg, checkpoint, tmp_path, run_tool)  # again
    cached, same = train(cfg, checkpoint, tmp_path / 'features_run',
                         tmp_path / 'features.db')
    assert not opened
    assert len(cached) == len(losses) == 4 and len(set(losses)) == 4
    assert cached == pytest.approx(losses, rel=2e-6)
    start = torch.load(checkpoint)['state_dict']
    for name, x in weights.items():
        torch.testing.assert_close(same[name], x, rtol=1e-5, atol=1e-6)
        if name.startswith(('backbone.', 'text_backbone.')):
            assert torch.equal(same[name], start[name]) and torch.equal(x, start[name])
    assert not torch.equal(weights['head.logit_scale'], start['head.logit_scale'])


@pytest.mark.slow
def test_features_of_another_model_are_refused(cfg, checkpoint, tmp_path, run_tool):
    fill(cfg, checkpoint, tmp_path, run_tool)
    features = tmp_path / 'features.db'
    other = cfg.copy()
    other.model.backbone.necks[0].num_centers = 4
    with pytest.raises(InputError, match='of other weights, or of towers with other'):
        train(other, checkpoint, tmp_path / 'a', features)
    said = fill(other, checkpoint, tmp_path, run_tool)
    assert said.startswith('error: ') and 'name another file' in said
    state = torch.load(checkpoint)
    state['state_dict']['backbone.ln_post.weight'][0] += 1
    torch.save(state, checkpoint)
    with pytest.raises(InputError, match='of other weights, or of towers with other'):
        train(cfg, checkpoint, tmp_path / 'b', features)
    cfg.model.frozen_towers = False
    with pytest.raises(InputError, match='write model.frozen_towers=True'):
        train(cfg, checkpoint, tmp_path / 'c', features)


def test_what_is_drawn_at_random_has_no_features(cfg, checkpoint, tmp_path, run_tool):
    cfg.train_dataloader.dataset.pipeline[1].test_mode = False
    said = fill(cfg, checkpoint, tmp_path, run_tool)
    assert said.startswith('error: features: UniformSample may draw at random')
    with pytest.raises(InputError, match='RandomResizedCrop may draw at random'):
        recipe_of([dict(type='VideoInit'), dict(type='RandomResizedCrop')])

    class Other(OpenCLIPResize):
        """A step of which nobody knows what it adds."""

    with pytest.raises(InputError, match='Other may draw at random'):
        recipe_of([dict(type=Other)])
    Other.deterministic = True
    recipe_of([dict(type=Other)])
    steps = [dict(type='VideoInit'), dict(type='OpenCLIPResize')]
    cached = [recipe_of([dict(steps[0], cache=cache), steps[1]]) for cache in (
        'a.db', dict(path='b.db', codec='jpeg', resize=steps[1]),
        dict(path='a.db', quality=1), dict(path='a.db', codec='raw'),
        dict(path='a.db', codec='raw', resize=steps[1], max_gib=2),
        dict(path='a.db', codec='raw', resize=dict(type='Resize', scale=(9, 9))))]
    # What changes frames is told apart, and nothing else.
    assert [cached.index(recipe) for recipe in cached] == [0, 0, 2, 3, 3, 5]
    assert recipe_of(steps) == cached[3]
    assert recipe_of(steps) != recipe_of([steps[0], dict(steps[1], model='ViT-L-14')])


def test_videos_that_are_not_there_or_were_changed(cfg, checkpoint, tmp_path, run_tool):
    names = list(json.loads((tmp_path / 'train.json').read_text()))
    (tmp_path / 'videos' / names[1]).write_text('no video')
    said = fill(cfg, checkpoint, tmp_path, run_tool)
    assert said.startswith('error: 1 of 6 videos have no features') and names[1] in said
    shutil.copy(tmp_path / 'videos' / names[3], tmp_path / 'videos' / names[2])
    (tmp_path / 'videos' / names[4]).rename(tmp_path / 'videos' / 'moved.mp4')
    shutil.copy(tmp_path / 'videos/moved.mp4', tmp_path / 'videos' / names[4])
    prepare_config(cfg)
    dataset = dict(cfg.train_dataloader.dataset, features=str(tmp_path / 'features.db'))
    with pytest.raises(InputError, match='an evaluation reads videos'):
        DATASETS.build(dict(dataset, test_mode=True))
    dataset = DATASETS.build(dataset)
    cache, samples = dataset.features, dataset.load_data_list()
    found = [cache.video(sample['filename'], None) for sample in samples]
    assert [x is not None for x in found] == [True, True, False, True, True, True, True]
    # The copy has the features of what it is a copy of.
    assert torch.equal(found[3]['segments'], found[4]['segments'])
    dataset.set_epoch(0, 0)
    sample = dataset[2]
    (name, reason), = sample['data_samples'].skipped
    assert name.endswith(names[1]) and 'has no features of it' in reason
    assert sample['inputs']['words'].shape == (TINY_ARCH['text_cfg']['context_length'],
                                               16)
    with pytest.raises(InputError, match='there is no such file'):
        DATASETS.build(dict(cfg.train_dataloader.dataset, features='absent.db'))
