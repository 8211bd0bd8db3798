import argparse
import os
import pickle
import subprocess
import sys

import pytest
import torch

from mmaction_centerclip.cli import (
    ToolParser,
    add_cfg_options,
    add_device,
    check_outputs,
    exit_on_input_error,
    positive_int,
    torch_device,
)
from mmaction_centerclip.errors import InputError, InputErrors

from .paths import TOOLS


@pytest.mark.parametrize('error, line', [
    (InputError('a.py: b must be 1, got 2'), 'error: a.py: b must be 1, got 2'),
    # As torch raises it again from a data worker.
    (InputError('Caught InputError in worker 0.\nTraceback ...\n'
                'mmaction_centerclip.errors.InputError: c.mp4: no such file\n'),
     'error: c.mp4: no such file'),
    (InputErrors(['a.csv, line 2: a\nb', 'a.csv, line 3: \x1b[2J']),
     'error: 2 problems:\n  a.csv, line 2: a b\n  a.csv, line 3: \\x1b[2J'),
    (pickle.UnpicklingError('Unsupported\n GLOBAL os.system was not allowed\n'),
     'error: the checkpoint is refused, it holds more than weights and training '
     'state: GLOBAL os.system was not allowed'),
])
def test_bad_input_ends_with_a_line_of_each_problem(error, line):
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


def test_outputs_in_no_folder_are_named():
    with pytest.raises(InputError, match='no/out.json: there is no folder no'):
        check_outputs(None, 'here.json', 'no/out.json')


def test_a_device_without_values_is_refused():
    assert torch_device('cpu') == 'cpu'
    for name in ('meta', 'nowhere'):
        with pytest.raises(argparse.ArgumentTypeError, match=name):
            torch_device(name)


def test_options_are_converted_once_all_are_right(capsys):
    parser = ToolParser()
    add_device(parser)
    add_cfg_options(parser)
    args = parser.parse_args(['--cfg-options', 'a=1', '--cfg-options', 'b=[2,x]'])
    assert args.cfg_options == dict(a=1, b=[2, 'x'])
    assert args.device == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(SystemExit):
        parser.parse_args(['--device', 'nowhere'])
    assert 'argument --device: ' in capsys.readouterr().err
    for word, message in (('b', 'expected key=value'), ('b=((1)', 'do not pair'),
                          ("b=[dict(type='A')]", 'a list of dicts needs a config')):
        with pytest.raises(SystemExit):
            parser.parse_args(['--cfg-options', 'a={:05}', word])
        said = capsys.readouterr().err
        assert 'argument --cfg-options: ' in said and word in said and message in said


TOOL_NAMES = sorted(str(path.relative_to(TOOLS)) for path in TOOLS.rglob('*.py'))


@pytest.mark.parametrize('name', TOOL_NAMES)
def test_help_and_wrong_options_take_no_second(name):
    """CPU seconds, in a process of its own, which has imported nothing."""
    for option, status, said in ('--help', 0, 'usage: '), ('--nope', 2, 'error: '):
        before = os.times()
        done = subprocess.run([sys.executable, TOOLS / name, option],
                              capture_output=True, text=True)
        after = os.times()
        assert done.returncode == status and said in done.stdout + done.stderr
        spent = (after.children_user + after.children_system
                 - before.children_user - before.children_system)
        assert spent < 1.0
