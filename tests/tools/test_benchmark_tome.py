import json

import pytest


def test_gains_of_merging(run_tool, tmp_path):
    said = run_tool('analysis_tools/benchmark_tome.py', '--model',
                    'vit_tiny_patch16_224',
                    '--images', 1, '--repeats', 1, '--r', 13, '--json',
                    tmp_path / 'out.json')
    whole, merged = json.loads((tmp_path / 'out.json').read_text())
    assert whole['mac_gain'] == 1 and whole['time_gain'] == 1
    # 12 blocks of width 192: projections of all tokens, attention of pairs. Of
    # 197 tokens 13 go before each block's MLP.
    counts = [197 - 13 * i for i in range(13)]
    macs = sum(4 * n * 192**2 + 2 * n * n * 192 + 8 * m * 192**2
               for n, m in zip(counts, counts[1:])) + 196 * 192 * 768
    assert merged['gmacs'] * 1e9 == pytest.approx(macs, rel=.05)
    assert merged['mac_gain'] == pytest.approx(whole['gmacs'] / merged['gmacs'])
    assert 'time / MAC gain' in said


def test_models_that_are_none(run_tool):
    said = run_tool('analysis_tools/benchmark_tome.py', '--model', 'resnet18')
    assert said.startswith('error: ') and 'resnet18' in said
