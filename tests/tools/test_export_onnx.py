"""The tool that writes ONNX files."""
import re

import pytest

from ..deployment.test_refusals import CASES

pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.slow
TOOL = 'deployment/export_onnx.py'


def test_int8_and_what_it_costs(run_tool, tiny_config, tiny_checkpoint, shapes,
                                tmp_path):
    said = run_tool(TOOL, tiny_config, '--checkpoint', tiny_checkpoint, '--int8',
                    '--calibrate', shapes / 'videos', '--videos', shapes / 'videos',
                    '--recall', '--dynamic-frames', '--out', tmp_path / 'exported')
    cosines = re.findall(r'lowest cosine ([\d.]+)', said)
    assert len(cosines) == 5 and min(map(float, cosines)) > 0.9
    assert '16 frames of noise' in said
    assert re.search(r'a video takes [\d.]+ ms, torch [\d.]+ ms', said)
    assert re.search(r't2v/R1: [\d.]+, torch [\d.]+', said)
    index = '--index', tmp_path / 'my.index'
    assert run_tool('search.py', 'index', shapes / 'videos', *index,
                    '--config', tmp_path / 'exported')
    table = run_tool('search.py', 'search', 'a star', *index)
    assert table.split()[:4] == ['file', 'in', 'out', 'score']
    refused = run_tool('search.py', 'search', 'a star', *index,
                       '--cfg-options', 'model.pretrained=None')
    assert 'is an exported model, whose config is fixed' in refused


def test_refusals_leave_nothing(run_tool, tiny_config, tiny_checkpoint, tmp_path):
    neck, _ = CASES['SpectralTokenClustering']
    config = tmp_path / 'spectral.py'
    config.write_text(f'_base_ = {str(tiny_config)!r}\n'
                      f'model = dict(backbone=dict(necks=[{neck}]))')
    said = run_tool(TOOL, config, '--checkpoint', tiny_checkpoint, '--out',
                    tmp_path / 'exported')
    assert said.startswith('error: SpectralTokenClustering') and 'eigenvectors' in said
    assert list(tmp_path.iterdir()) == [config]
    said = run_tool(TOOL, tiny_config, '--out', tmp_path)
    assert said == f'error: {tmp_path} exists already, choose another file'
