import importlib.util
import runpy
import sys

import pytest

from ..paths import TOOLS


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
