"""The project's files keep what they promise each other."""
import json
import re

import pytest
import yaml

from mmaction_centerclip import __version__

from .paths import ROOT

CI = (ROOT / '.ci/run').read_text()


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text())


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r'```bash\n(pip .*)\n```',
                          (ROOT / 'README.md').read_text())
    assert len(commands) == 2
    assert commands[1] in map(str.strip, CI.splitlines())


def test_hooks_lint_as_ci_does():
    hooks = read_yaml('.pre-commit-config.yaml')['repos'][0]['hooks']
    lint = re.search(r'pytest -m ""\n\n(.*?)\n\n', CI, re.S)[1]
    assert [hook['entry'] for hook in hooks] == [
        line.strip() for line in lint.splitlines()]


def test_workflow_has_the_supported_pythons():
    pythons = re.findall(r':: (3\.\d+)', (ROOT / 'setup.py').read_text())
    job, = read_yaml('.github/workflows/ci.yml')['jobs'].values()
    assert job['strategy']['matrix']['python'] == pythons
    assert re.search(r'for version in (3.*);', CI)[1].split() == pythons


def test_version():
    assert read_yaml('CITATION.cff')['version'] == __version__
    headings = re.findall('^## (.*)', (ROOT / 'CHANGELOG.md').read_text(), re.M)
    assert headings[0] == 'Unreleased'
    assert headings[1].startswith(f'v{__version__} (')


@pytest.mark.parametrize('path', sorted((ROOT / 'demo').glob('*.ipynb')),
                         ids=lambda path: path.stem)
def test_notebooks_have_outputs(path):
    """They are of a whole run, without errors, warnings and paths of a machine."""
    cells = [cell for cell in json.loads(path.read_text())['cells']
             if cell['cell_type'] == 'code']
    assert [c['execution_count'] for c in cells] == list(range(1, 1 + len(cells)))
    outputs = [output for cell in cells for output in cell['outputs']]
    assert {o.get('name', 'stdout') for o in outputs} == {'stdout'}
    assert {o['output_type'] for o in outputs} == {'stream', 'display_data'}
    assert not re.search(r'[ "\'](/|[A-Z]:\\)\w', json.dumps(
        [output.get('text') for output in outputs]))
