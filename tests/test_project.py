"""What the project's files promise each other."""
import re

from .paths import ROOT


def test_ci_runs_the_readmes_test_command():
    commands = re.findall(r'```bash\n(pip .*)\n```',
                          (ROOT / 'README.md').read_text())
    assert len(commands) == 2
    assert commands[1] in (ROOT / '.ci/run').read_text().splitlines()
