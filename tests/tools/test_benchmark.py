"""The analysis tools measure what they say, on a toy model."""
import importlib.util
import json
import runpy
import sys

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.apis.benchmark import (
    benchmark_pair,
    build_pair,
    build_stock,
    read_frames,
)
from mmaction_centerclip.errors import InputError

from ..paths import TOOLS


@pytest.fixture
def run(monkeypatch, capsys):

    def tool(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(TOOLS / 'analysis_tools' / name),
                       run_name='__main__')
        return capsys.readouterr().out

    return tool


def test_a_config_beside_its_twin(run, tiny_config, shapes, tmp_path):
    printed = run('benchmark.py', tiny_config, '--batch-sizes', 1, 2,
                  '--train-batch-size', 3, '--repeats', 2, '--videos',
                  shapes / 'videos', '--device', 'cpu', '--json',
                  tmp_path / 'out.json', '--plot', tmp_path / 'out.png')
    rows = json.loads((tmp_path / 'out.json').read_text())
    assert [row['videos'] for row in rows] == [1, 2]
    assert (tmp_path / 'out.png').read_bytes()[:4] == b'\x89PNG'
    for row in rows:
        assert row['train_videos'] == 3
        for ratio, key in (('mac_ratio', 'gmacs'), ('time_ratio', 'ms'),
                           ('step_ms_ratio', 'step_ms'),
                           ('step_peak_mib_ratio', 'step_peak_mib')):
            assert row[ratio] == pytest.approx(
                row[f'clustered/{key}'] / row[f'twin/{key}'])
        assert row['mac_ratio'] < 1 and row['clustered/step_peak_mib'] > 0
        assert 0 < row['clustering_share'] < 1
    assert 'time ratio' in printed and 'cpu' in printed


def test_bfloat16_and_compiled(tiny_config, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, 'compile',
                        lambda module: compiled.append(module) or module)
    model, twin = build_pair(Config.fromfile(tiny_config))
    row = benchmark_pair(model, twin, torch.randn(1, 8, 3, 64, 64),
                         torch.bfloat16, compile=True, repeats=1)
    assert compiled == [model.backbone, twin.backbone]
    assert 'clustered/step_ms' not in row and 'times_stock' not in row


def test_what_cannot_be_measured_is_named(tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks = []
    with pytest.raises(InputError, match='has no neck'):
        build_pair(cfg)
    with pytest.raises(InputError, match='no video file'):
        read_frames(str(tmp_path), 1, 8, 64)


@pytest.mark.skipif(importlib.util.find_spec('clip') is not None,
                    reason='openai-clip is here')
def test_the_stock_model_asks_for_its_package():
    with pytest.raises(InputError, match='openai-clip, which cannot'):
        build_stock()


@torch.no_grad()
def test_the_stock_model_is_the_zoos():
    pytest.importorskip('clip')
    stock = build_stock()
    assert type(stock).__module__.startswith('mmaction.')
    assert stock.encode_video(torch.randn(1, 2, 3, 224, 224)).shape == (1, 512)
    assert {p.dtype for p in stock.parameters()} == {torch.float32}
