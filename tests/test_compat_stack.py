"""The packages that the zoo needs, and what it finds without a config."""
import importlib.metadata
import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import mmaction
import mmcv
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmaction.utils import dependency
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope, init_default_scope

from mmaction_centerclip import compat

from .processes import start


def test_the_stock_models_import():
    from mmaction.models.localizers import DRN
    with pytest.raises(ImportError, match='issues/2714'):
        DRN()


@pytest.mark.slow  # imports everything anew
def test_the_zoos_own_tool_trains_the_config(tiny_config, tmp_path):
    script = Path(mmaction.__file__).parent / '.mim' / 'tools' / 'train.py'
    result = subprocess.run(
        [sys.executable, script, tiny_config, '--work-dir', tmp_path, '--cfg-options',
         'train_cfg.max_epochs=1'], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'epoch_1.pth').exists()


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
    """Import it again: it checks versions in its __init__, and nowhere else."""
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


def build_in_a_notebook(path):
    cfg = Config.fromfile(path)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    print(dataset[0]['inputs']['imgs'].shape)
    print(type(MODELS.build(cfg.model)).__name__)


@pytest.mark.slow
def test_a_notebook_finds_the_zoos_modules(tiny_config, tmp_path):
    """In a process where nothing but the package has chosen a scope."""
    process = start(build_in_a_notebook, str(tiny_config), log=tmp_path / 'log')
    process.join()
    assert (tmp_path / 'log').read_text().splitlines()[-2:] == [
        'torch.Size([8, 3, 64, 64])', 'VideoTextRetriever']


def test_a_scope_that_someone_chose_stays():
    init_default_scope('mmengine')
    compat.use_the_zoos_scope()
    assert DefaultScope.get_current_instance().scope_name == 'mmengine'


@pytest.fixture
def run(monkeypatch):
    """Run a tool by the package, in this process."""
    def run(*args):
        monkeypatch.setattr(sys, 'path', [*sys.path])
        monkeypatch.setattr(sys, 'argv', ['mmaction_centerclip', *map(str, args)])
        runpy.run_module('mmaction_centerclip', run_name='__main__')
    return run


def test_a_tool_of_the_zoo_finds_a_config_of_the_package_by_name(run, capsys):
    run('analysis_tools/print_config',
        'clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb')
    assert 'auto_scale_lr=dict(' in capsys.readouterr().out


def test_a_tool_of_the_zoo_that_reads_no_config(tmp_path, run):
    """Its torch.load needs what the package allows."""
    hub = MessageHub.get_instance('published')
    hub.update_scalar('train/loss', .5)
    checkpoint = dict(state_dict=dict(weight=torch.ones(1)),
                      message_hub=hub.state_dict())
    torch.save(checkpoint, tmp_path / 'in.pth')

    run('deployment/publish_model.py', tmp_path / 'in.pth', tmp_path / 'out.pth')
    published, = tmp_path.glob('out_*.pth')
    assert torch.load(published, weights_only=True).keys() == {'state_dict'}
    with pytest.raises(SystemExit, match='TOOL must be one of .*doctor.* a file'):
        run('no_tool.py')


def test_a_tool_and_a_config_of_the_package_by_name(tmp_path, run, capsys, monkeypatch):
    """From any folder, as after the installation of a wheel."""
    monkeypatch.chdir(tmp_path)
    run('get-flops', 'clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb')
    assert ' GMACs a video of 8 frames' in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


def test_the_repairs_are_idempotent():
    before = sys.modules['mmaction.models.localizers.drn']
    compat.apply()
    assert sys.modules['mmaction.models.localizers.drn'] is before
