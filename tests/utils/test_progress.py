import io
import sys

import pytest

from mmaction_centerclip.utils import progress


@pytest.mark.parametrize('seconds, lines', [(60, 1), (0, 2000)])
def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch, seconds, lines):
    monkeypatch.setattr(progress, 'SECONDS_BETWEEN_LINES', seconds)
    assert list(progress.track(range(2000))) == list(range(2000))
    said = capsys.readouterr().out
    assert said.count('\n') == lines and '\r' not in said
    assert said.splitlines()[-1].startswith('2000/2000, elapsed: ')


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setattr(sys, 'stdout', terminal)
    assert list(progress.track([1, 2])) == [1, 2]
    said = terminal.getvalue()
    assert '2/2' in said and said.strip().endswith('\x1b[?25h')  # the cursor is back
