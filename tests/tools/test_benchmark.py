"""The analysis tools measure what they say, on a toy model."""
import importlib.util
import json
import shutil

import pytest
from mmaction.datasets.transforms import DecordDecode
from mmaction.registry import MODELS
from mmengine.config import Config

from ..paths import CONFIGS, SHARED
from ..reference import openai_clip

BENCHMARK = 'analysis_tools/benchmark.py'
FLOPS = 'analysis_tools/get_flops.py'
EVALUATION = 'analysis_tools/benchmark_evaluation.py'
RECOGNIZER = 'analysis_tools/benchmark_recognizer.py'
PACKING = 'analysis_tools/benchmark_packing.py'


def test_a_config_beside_the_same_without_clustering(run_tool, tiny_config,
                                                     tmp_path):
    printed = run_tool(BENCHMARK, tiny_config, '--repeats', 1, '--device', 'cpu',
                       '--json', tmp_path / 'out.json')
    row, = json.loads((tmp_path / 'out.json').read_text())
    assert row['mac_ratio'] == pytest.approx(
        row['clustered/gmacs'] / row['unclustered/gmacs']) and row['mac_ratio'] < 1
    assert row['time_ratio'] == pytest.approx(
        row['clustered/ms'] / row['unclustered/ms'])
    assert row['clustered/videos_per_s'] == pytest.approx(1e3 / row['clustered/ms'])
    assert 0 < row['clustering_share'] < 1 and row['clustered/peak_mib'] > 0
    machine, titles, values = printed.splitlines()[-3:]
    assert machine.startswith('cpu, ') and 'float32, eager, random' in machine
    assert titles.split()[:4] == ['config', 'videos', 'GMACs', 'MAC']
    assert values.split()[:2] == ['tiny', '1']
    assert f'{row["time_ratio"]:.3f}' in values
    assert row['time_over_macs'] == pytest.approx(row['time_ratio'] / row['mac_ratio'])
    assert 'clustered/eval_ms' not in row


def test_an_evaluation_in_cpu_time(run_tool, tiny_config, tmp_path):
    printed = run_tool(BENCHMARK, tiny_config, '--repeats', 1, '--device', 'cpu',
                       '--evaluation', '--cpu-time', '--json', tmp_path / 'out.json')
    row, = json.loads((tmp_path / 'out.json').read_text())
    assert row['clustered/eval_ms'] > 0 and row['clustered/eval_cold_ms'] > 0
    machine, titles, values = printed.splitlines()[-3:]
    assert machine.startswith('cpu, 1 CPU threads') and ', CPU time, ' in machine
    assert 'eval ratio' in titles and f'{row["eval_ms_ratio"]:.3f}' in values


@pytest.mark.slow
def test_batches_training_and_a_picture(run_tool, tiny_config, shapes, tmp_path):
    run_tool(BENCHMARK, tiny_config, '--batch-sizes', 1, 2, '--train-batch-size', 3,
             '--repeats', 2, '--videos', shapes / 'videos', '--device', 'cpu',
             '--json', tmp_path / 'out.json', '--plot', tmp_path / 'out.png')
    rows = json.loads((tmp_path / 'out.json').read_text())
    assert [row['videos'] for row in rows] == [1, 2]
    assert (tmp_path / 'out.png').read_bytes()[:4] == b'\x89PNG'
    for row in rows:
        assert row['train_videos'] == 3
        for key in ('step_ms', 'step_peak_mib'):
            assert row[f'{key}_ratio'] == pytest.approx(
                row[f'clustered/{key}'] / row[f'unclustered/{key}'])
        assert row['clustered/step_peak_mib'] > row['clustered/peak_mib'] > 0


def test_bad_options_end_with_one_line(run_tool, tiny_config, tmp_path):
    said = run_tool(BENCHMARK, tiny_config, '--stock')
    assert said == 'error: --stock is called --mmaction2 now, write that'
    said = run_tool(BENCHMARK, tiny_config, '--cpu-time', '--device', 'meta')
    assert said == '2'  # argparse's, which has named it
    said = run_tool(BENCHMARK, 'no.py')
    assert said.startswith('error: config file not found: no.py (docs/migration.md')
    said = run_tool(BENCHMARK, tiny_config, '--json', 'no/out.json')
    assert said == 'error: no/out.json: there is no folder no'
    said = run_tool(FLOPS, tiny_config, '--json', 'no/out.json')
    assert said == 'error: no/out.json: there is no folder no'
    if importlib.util.find_spec('clip') is None:
        said = run_tool(EVALUATION, tmp_path)
        assert said.startswith(f'error: {tmp_path}: no video file')
        said = run_tool(BENCHMARK, tiny_config, '--mmaction2', '--device', 'cpu')
        assert said.startswith("error: MMAction2's CLIPSimilarity needs the package")


def transformer(tokens, width, layers):
    """Multiply-adds: four projections and the MLP's eight, and attention's two."""
    return layers * (12 * tokens * width**2 + 2 * tokens**2 * width)


def test_flops_are_those_of_the_sizes(run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    neck, = cfg.model.backbone.necks
    cfg.model.backbone.necks = []
    plain, out = tmp_path / 'plain.py', tmp_path / 'out.json'
    cfg.dump(plain)
    printed = run_tool(FLOPS, plain, tiny_config, '--json', out)
    rows = json.loads(out.read_text())
    row, clustered = rows[str(plain)], rows[str(tiny_config)]
    patches, embedding = 16, 32 * 16
    frame = patches * 3 * 16**2 * 32 + transformer(1 + patches, 32, 3) + embedding
    assert row['frames'] == clustered['frames'] == 8
    assert row['video_gmacs'] == pytest.approx(8 * frame / 1e9, rel=1e-12)
    assert row['text_gmacs'] == clustered['text_gmacs'] == pytest.approx(
        (transformer(16, 32, 2) + (16 + 1) * embedding) / 1e9, rel=1e-12)
    assert row['params_m'] == pytest.approx(sum(
        p.numel() for p in MODELS.build(cfg.model).parameters()) / 1e6)
    # Behind the neck there are two segments of sixteen centers, not eight frames.
    assert (neck.before_block, neck.num_segments, neck.num_centers) == (3, 2, 16)
    saved = 6 * (transformer(17, 32, 1) + embedding) / 1e9
    assert 0 < saved - (row['video_gmacs'] - clustered['video_gmacs']) < saved / 2
    assert f'{plain}: {row["video_gmacs"]:.2f} GMACs a video of 8 frames' in printed
    run_tool(FLOPS, plain, '--num-frames', 3, '--json', out)
    row = json.loads(out.read_text())[str(plain)]
    assert row['frames'] == 3
    assert row['video_gmacs'] == pytest.approx(3 * frame / 1e9, rel=1e-12)


def test_an_evaluation_beside_mmaction2s(run_tool, tiny_config, shapes, tmp_path,
                                         monkeypatch):
    if importlib.util.find_spec('clip') is None:
        openai_clip.install(monkeypatch, image_size=224)
    decoded = []
    transform = DecordDecode.transform
    monkeypatch.setattr(
        DecordDecode, 'transform', lambda self, results: decoded.append(
            results['filename']) or transform(self, results))
    (tmp_path / 'videos').mkdir()
    for name in ('test0000.mp4', 'test0001.mp4', 'test0002.mp4'):
        shutil.copy(shapes / 'videos' / name, tmp_path / 'videos')
    printed = run_tool(EVALUATION, tmp_path / 'videos', '--captions', 2, '--config',
                       tiny_config, '--json', tmp_path / 'out.json')
    # MMAction2's loop decodes a video for each of its captions.
    assert len(decoded) == 3 * 2 + 3 and len(set(decoded)) == 3
    row = json.loads((tmp_path / 'out.json').read_text())
    assert (row['videos'], row['captions']) == (3, 2)
    for name in ('mmaction2', 'ours'):
        assert row[f'{name}/captions_per_s'] == pytest.approx(
            6 / row[f'{name}/seconds'])
    assert row['ratio'] == pytest.approx(
        row['mmaction2/seconds'] / row['ours/seconds'])
    assert '3 videos, 2 captions each, ' in printed
    assert printed.splitlines()[-1] == f'ratio: {row["ratio"]:.1f}'


def test_a_recogniser_beside_the_zoos(run_tool, shapes, tmp_path):
    config = next((CONFIGS / 'recognition').glob('*/*-b2-*shapes*.py'))
    printed = run_tool(RECOGNIZER, config, '--repeats', 1, '--videos',
                       shapes / 'videos', '--json', tmp_path / 'out.json')
    row, = json.loads((tmp_path / 'out.json').read_text())
    machine, titles, values = printed.splitlines()[-3:]
    assert machine.startswith('cpu, 1 CPU threads') and 'frames of ' in machine
    assert titles.split()[:3] == ['config', 'GMACs', 'ms']
    assert values.split()[1] == f'{row["clustered/gmacs"]:.3f}'
    assert values.split()[-1] == f'{row["host_ratio"]:.3f}'


@pytest.mark.skipif(not (SHARED / 'videos').is_dir(), reason='no ../shared')
def test_run_length_tokens_padded_and_packed(run_tool, tmp_path):
    printed = run_tool(PACKING, SHARED / 'videos', '--sizes', 'tiny', '--clips', 2,
                       '--frames', 4, '--repeats', 1, '--json', tmp_path / 'out.json')
    row, = json.loads((tmp_path / 'out.json').read_text())
    assert row['whole'] == 4 * 16 >= row['longest'] >= row['mean'] >= 16
    assert row['packed_ratio'] > 0 < row['masked_ratio']
    assert 'cpu, 1 CPU threads' in printed and 'masked_ratio' in printed
