"""The program of docs/deployment.md, without this package and torch."""
import subprocess
import sys

import pytest

from ..doc_code import DOCS, blocks_of

pytestmark = pytest.mark.slow


def test_it_ranks_as_the_inferencer(exported, inferencer, shapes, tmp_path):
    program, = (block for block in blocks_of(DOCS['deployment'], 'python')
                if block.file == 'retrieve.py')
    path = tmp_path / 'retrieve.py'
    # What it imports.
    path.write_text(program.text + "\nassert not {'torch', 'mmaction_centerclip', "
                    "'open_clip'} & set(sys.modules)\n")
    videos = sorted(map(str, (shapes / 'videos').iterdir()))[:6]
    said = subprocess.run(
        [sys.executable, path, exported, "it's a red circle, 2 stars", *videos],
        check=True, capture_output=True, text=True).stdout
    scores = {name: float(score) for score, name in (
        line.split(maxsplit=1) for line in said.splitlines())}
    expected = inferencer(videos, "it's a red circle, 2 stars")['predictions'][0]
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert [scores[name] for name in expected['videos']] == pytest.approx(
        expected['scores'], abs=0.02)
