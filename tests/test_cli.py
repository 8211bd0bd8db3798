import argparse
import pickle

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.cli import (
    add_common_arguments,
    check_checkpoint,
    check_outputs,
    exit_on_input_error,
    is_first_process,
    load_config,
    positive_int,
    read_config,
    torch_device,
)
from mmaction_centerclip.errors import InputError


@pytest.mark.parametrize('error, line', [
    (InputError('a.py: b must be 1, got 2'), 'error: a.py: b must be 1, got 2'),
    # As torch raises it again from a data worker.
    (InputError('Caught InputError in worker 0.\nTraceback ...\n'
                'mmaction_centerclip.errors.InputError: c.mp4: no such file\n'),
     'error: c.mp4: no such file'),
    (pickle.UnpicklingError('Unsupported\n GLOBAL os.system was not allowed\n'),
     'error: the checkpoint is refused, it holds more than weights and training '
     'state: GLOBAL os.system was not allowed'),
])
def test_bad_input_ends_with_one_line(error, line):
    with pytest.raises(SystemExit) as exit_:
        with exit_on_input_error():
            raise error
    assert str(exit_.value) == line


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        with exit_on_input_error():
            raise ZeroDivisionError


@pytest.mark.parametrize('text', ['0', '-3', 'two', '1.5'])
def test_positive_integers(text, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=positive_int)
    assert parser.parse_args(['--count', '7']).count == 7
    with pytest.raises(SystemExit):
        parser.parse_args(['--count', text])
    assert 'argument --count: ' in capsys.readouterr().err


@pytest.fixture
def load(tmp_path):
    """The config that a command line gives, of a config file with a work dir."""

    def make(*args, **config):
        path = tmp_path / 'name.py'
        Config(dict(a=1, **config)).dump(path)
        parser = argparse.ArgumentParser()
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


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match='config file not found: no.py'):
        read_config('no.py')
    with pytest.raises(InputError, match='no such file: no.pth'):
        check_checkpoint('no.pth')
    text = tmp_path / 'text.pth'
    text.write_text('text')
    with pytest.raises(InputError, match='text.pth cannot be read as a file'):
        check_checkpoint(str(text))
    with pytest.raises(InputError, match='no/out.json: there is no folder no'):
        check_outputs(None, 'here.json', 'no/out.json')


@pytest.mark.parametrize('legacy', [True, False])
def test_checkpoints_of_all_ages_and_urls_pass(tmp_path, legacy):
    path = str(tmp_path / 'checkpoint.pth')
    torch.save(dict(a=torch.ones(1)), path, _use_new_zipfile_serialization=not legacy)
    check_checkpoint(path)
    check_checkpoint('https://host/checkpoint.pth')
    check_checkpoint(None)


def test_a_device_without_values_is_refused():
    assert torch_device('cpu') == 'cpu'
    for name in ('meta', 'nowhere'):
        with pytest.raises(argparse.ArgumentTypeError, match=name):
            torch_device(name)
