import os
import subprocess
import sys
from pathlib import Path

import pytest

from .paths import ROOT

MIM = ROOT / 'mmaction_centerclip' / '.mim'


@pytest.mark.parametrize('name', ['configs', 'tools', 'model-index.yml'])
def test_an_editable_install_links_what_mim_looks_for(name):
    if not MIM.exists():
        pytest.skip('not an editable install')
    assert os.path.samefile(MIM / name, ROOT / name)


def test_a_wheel_holds_the_page_and_what_mim_looks_for(tmp_path):
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', tmp_path,
         'build_py', '--build-lib', tmp_path / 'lib'],
        cwd=ROOT, check=True, capture_output=True)
    static = Path('mmaction_centerclip', 'search', 'page', 'static')
    files = [path.name for path in (ROOT / static).iterdir()]
    assert 'index.html' in files
    assert sorted(files) == sorted(os.listdir(tmp_path / 'lib' / static))
    built = tmp_path / 'lib' / 'mmaction_centerclip' / '.mim'
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*.[ps][yh]'):
            copy = built / path.relative_to(ROOT)
            assert copy.read_bytes() == path.read_bytes()
    assert (built / 'model-index.yml').is_file()
    assert not any(path.is_symlink() for path in built.rglob('*'))
