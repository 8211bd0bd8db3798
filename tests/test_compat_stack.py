"""The packages that the zoo needs, and what it finds without a config."""
import importlib.metadata
import importlib.util
import subprocess
import sys

import mmaction
import mmcv
import pytest
import torch
from mmaction.utils import dependency

from mmaction_centerclip import compat


def in_a_new_process(code, *args, **kwargs):
    return subprocess.run([sys.executable, '-c', code, *map(str, args)],
                          capture_output=True, text=True, **kwargs)


@pytest.mark.slow  # imports everything anew
def test_the_stock_models_import():
    result = in_a_new_process(
        'import mmaction_centerclip, mmaction.models\n'
        'from mmaction.models.localizers import DRN\n'
        'try:\n    DRN()\nexcept ImportError as e: print(e)', check=True)
    assert 'issues/2714' in result.stdout


@pytest.mark.parametrize('version, kept', [('4.55.4', True), ('5.2.0', False)])
def test_vindlu_is_left_out_where_transformers_is_too_new(
        monkeypatch, version, kept):
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    monkeypatch.setattr(importlib.metadata, 'version', lambda name: version)
    compat.leave_out_vindlu()
    assert dependency.WITH_MULTIMODAL is kept


@pytest.mark.parametrize('missing', ['mmcv', 'mmengine'])
def test_a_missing_package_names_all_ways(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, 'find_spec',
                        lambda name: None if name == missing else object())
    with pytest.raises(ImportError, match=(
            f'needs {missing}, .*mmcv-lite.*mim install .mmcv.*installation.md')):
        compat.require_mmcv()


def import_mmaction_anew(monkeypatch, mmcv_version):
    """What mmaction checks is in its __init__, and nowhere else."""
    monkeypatch.setattr(mmcv, '__version__', mmcv_version)
    monkeypatch.delitem(sys.modules, 'mmaction')
    compat.accept_newer_mmcv()
    import mmaction
    return mmaction


@pytest.mark.parametrize('version', ['2.0.0', '2.1.0', '2.2.0', '2.3.6'])
def test_any_mmcv_2_is_accepted_and_stays_what_it_is(monkeypatch, version):
    assert import_mmaction_anew(monkeypatch, version) is not mmaction
    assert mmcv.__version__ == version


@pytest.mark.parametrize('version', ['1.7.2', '3.0.0'])
def test_others_are_refused_by_the_zoo(monkeypatch, version):
    with pytest.raises(AssertionError, match=version):
        import_mmaction_anew(monkeypatch, version)


@pytest.mark.slow  # imports everything anew
def test_a_notebook_finds_the_zoos_modules(tiny_config):
    result = in_a_new_process(
        'import sys, mmaction_centerclip\n'
        'from mmaction.registry import DATASETS, MODELS\n'
        'from mmengine.config import Config\n'
        'cfg = Config.fromfile(sys.argv[1])\n'
        'dataset = DATASETS.build(cfg.train_dataloader.dataset)\n'
        'print(dataset[0]["inputs"]["imgs"].shape)\n'
        'print(type(MODELS.build(cfg.model)).__name__)', tiny_config)
    assert result.stdout.splitlines() == [
        'torch.Size([8, 3, 64, 64])', 'VideoTextRetriever'], result.stderr


@pytest.mark.slow  # imports everything anew
def test_a_scope_that_someone_chose_stays():
    result = in_a_new_process(
        'from mmengine.registry import DefaultScope, init_default_scope\n'
        'init_default_scope("mmengine")\n'
        'import mmaction_centerclip\n'
        'print(DefaultScope.get_current_instance().scope_name)', check=True)
    assert result.stdout == 'mmengine\n'


@pytest.mark.slow  # imports everything anew
def test_a_tool_of_the_zoo_that_reads_no_config(tmp_path):
    """Its torch.load needs what the package allows."""
    from mmengine.logging import MessageHub
    hub = MessageHub.get_instance('published')
    hub.update_scalar('train/loss', .5)
    checkpoint = dict(state_dict=dict(weight=torch.ones(1)),
                      message_hub=hub.state_dict())
    torch.save(checkpoint, tmp_path / 'in.pth')
    command = [sys.executable, '-m', 'mmaction_centerclip']
    result = subprocess.run(
        [*command, 'deployment/publish_model.py', tmp_path / 'in.pth',
         tmp_path / 'out.pth'], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    published, = tmp_path.glob('out_*.pth')
    assert torch.load(published, weights_only=True).keys() == {'state_dict'}
    result = subprocess.run([*command, 'no_tool.py'], capture_output=True,
                            text=True)
    assert result.returncode == 1
    assert 'TOOL must be a file' in result.stderr


def test_the_repairs_are_idempotent():
    before = sys.modules['mmaction.models.localizers.drn']
    compat.apply()
    assert sys.modules['mmaction.models.localizers.drn'] is before
