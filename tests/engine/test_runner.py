"""The runner that prepares a config, and names what cannot be built."""
import pytest
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from mmaction_centerclip.engine import RetrievalRunner, config, runner
from mmaction_centerclip.engine.launching import build_runner
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTextRetriever


def test_the_runner_of_the_configs_completes_them(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    cfg.val_dataloader.dataset.pipeline[-3].pop('context_length')
    built = RUNNERS.build(cfg)  # as the zoo's tools do
    assert type(built) is RetrievalRunner and isinstance(built, Runner)
    step = built.cfg.val_dataloader.dataset.pipeline[-3]
    assert (step.model, step.context_length) == (cfg.model.arch, 16)
    cfg.model.text_backbone.arch = dict(cfg.model.arch, text_cfg=dict(
        cfg.model.arch.text_cfg, vocab_size=50000))
    with pytest.raises(InputError, match='train_dataloader: the captions are token'):
        RUNNERS.build(cfg)


def test_a_run_prepares_its_config_and_asks_for_the_preprocessing_once(
        tiny_config, tmp_path, monkeypatch):
    calls = []
    for module, name in ((runner, 'prepare_config'), (config, 'find_pipelines'),
                         (config, 'pretrained_preprocessing'),
                         (config, 'preprocessing_for')):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, name=name, original=original: (
            calls.append(name), original(*args))[1])
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    cfg.pop('runner_type')
    assert type(build_runner(cfg)) is RetrievalRunner
    assert calls == ['prepare_config', *['find_pipelines'] * 3,
                     'pretrained_preprocessing']


def test_what_cannot_be_built_is_named_by_its_part(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    cfg.merge_from_dict({'train_dataloader.sampler.type': 'NoSampler',
                         'optim_wrapper.type': 'NoWrapper'})
    built = RUNNERS.build(cfg)
    with pytest.raises(InputError, match='^train_dataloader or train_cfg: KeyError: .*'
                       'NoSampler'):
        built.train()
    with pytest.raises(InputError, match='^optim_wrapper: KeyError: .*NoWrapper'):
        built.build_optim_wrapper(built.optim_wrapper)
    with pytest.raises(InputError, match='^torchvision://no cannot be loaded: '):
        built.load_checkpoint('torchvision://no')
    cfg.model.head.nonsense = 1
    with pytest.raises(InputError, match="^model: .* argument 'nonsense'"):
        RUNNERS.build(cfg)


def test_a_mistake_of_the_code_keeps_its_traceback(run_tool, tiny_config,
                                                   tmp_path, monkeypatch):

    def fail(*args, **kwargs):
        raise KeyError('a mistake')

    monkeypatch.setattr(VideoTextRetriever, 'loss', fail)
    with pytest.raises(KeyError, match='a mistake'):
        run_tool('train.py', tiny_config, '--work-dir', tmp_path)
