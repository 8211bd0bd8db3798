import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.cli import ToolParser, add_common_arguments
from mmaction_centerclip.engine.config import read_config
from mmaction_centerclip.engine.launching import (
    check_checkpoint,
    is_first_process,
    load_config,
)
from mmaction_centerclip.errors import InputError


@pytest.fixture
def load(tmp_path):
    """The config that a command line gives, of a config file with a work dir."""

    def make(*args, **config):
        path = tmp_path / 'name.py'
        Config(dict(a=1, **config)).dump(path)
        parser = ToolParser()
        parser.add_argument('config')
        parser.add_argument('--work-dir')
        add_common_arguments(parser)
        return load_config(parser.parse_args([str(path), *args]))

    return make


def test_the_work_dir_is_of_the_option_the_config_or_its_name(load):
    assert load().work_dir == './work_dirs/name'
    assert load(work_dir='here').work_dir == 'here'
    assert load('--work-dir', 'there', work_dir='here').work_dir == 'there'


def test_options_override_the_config(load):
    cfg = load('--cfg-options', 'a=2', 'b.c=[1,2]')
    assert (cfg.a, cfg.b.c, cfg.launcher) == (2, [1, 2], 'none')


@pytest.mark.parametrize('launcher, variable', [
    ('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')])
def test_one_process_of_a_launcher_is_the_first(monkeypatch, launcher, variable):
    monkeypatch.setenv(variable, '0')
    assert is_first_process(launcher)
    monkeypatch.setenv(variable, '1')
    assert not is_first_process(launcher)
    assert is_first_process('none')


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_only_torchrun_launches(load):
    with pytest.raises(InputError, match='--launcher pytorch .*, got slurm'):
        load('--launcher', 'slurm')


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match='config file not found: no.py'):
        read_config('no.py')
    with pytest.raises(InputError, match='no such file: no.pth'):
        check_checkpoint('no.pth')
    text = tmp_path / 'text.pth'
    text.write_text('text')
    with pytest.raises(InputError, match='text.pth cannot be read as a file'):
        check_checkpoint(str(text))


@pytest.mark.parametrize('legacy', [True, False])
def test_checkpoints_of_all_ages_and_urls_pass(tmp_path, legacy):
    path = str(tmp_path / 'checkpoint.pth')
    torch.save(dict(a=torch.ones(1)), path, _use_new_zipfile_serialization=not legacy)
    check_checkpoint(path)
    check_checkpoint('https://host/checkpoint.pth')
    check_checkpoint(None)
