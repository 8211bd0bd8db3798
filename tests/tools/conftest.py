import importlib.util
import runpy
import sys

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

from ..paths import TOOLS


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run a tool in this process; what it printed, or the error that ended it."""

    def run(script, *args):
        path = TOOLS / script
        # Of a run that began in the same second, which would be gone on with.
        for manager in (MMLogger, MessageHub, Visualizer):
            manager._instance_dict.clear()
        monkeypatch.setattr(sys, 'argv', [path.name, *map(str, args)])
        monkeypatch.syspath_prepend(str(path.parent))
        capsys.readouterr()
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as error:
            return str(error)
        return capsys.readouterr().out

    return run


@pytest.fixture
def load_tool(monkeypatch):
    """Import a tool as a module, to call its functions."""

    def load(script):
        path = TOOLS / script
        monkeypatch.syspath_prepend(str(path.parent))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def prepare(monkeypatch, capfd):
    """Run a tool in this process, which is faster; its status and words."""

    def run(name, *args):
        path = str(TOOLS / 'data' / name / f'prepare_{name}.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        status = 0
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as exit_:
            status = exit_.code
        said = ''.join(capfd.readouterr())
        # A text is what Python prints then, and the status is 1.
        return (1, said + status) if isinstance(status, str) else (status, said)

    return run
