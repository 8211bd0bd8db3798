"""The analysis tools measure what they say, on a toy model."""
import json

import pytest
from mmaction.registry import MODELS
from mmengine.config import Config

from ..paths import CONFIGS

BENCHMARK = 'analysis_tools/benchmark.py'
FLOPS = 'analysis_tools/get_flops.py'


@pytest.mark.parametrize('name', ['tiny', 'recogniser'])
def test_a_config_beside_the_same_without_necks(
        run_tool, tiny_config, shapes, tmp_path, name):
    config, options = tiny_config, ['--price', 'evaluation']
    if name == 'recogniser':
        config = next((CONFIGS / 'recognition').glob('*/*-b2-*shapes*.py'))
        options = ['--cpu-time', '--videos', shapes / 'videos']
    printed = run_tool(BENCHMARK, config, '--repeats', 1, '--device', 'cpu',
                       '--batch-sizes', 1, 2, *options, '--out', tmp_path / 'out.json')
    rows = json.loads((tmp_path / 'out.json').read_text())
    assert [row['videos'] for row in rows] == [1, 2]
    machine, titles, *values = printed.splitlines()[-4:]
    assert ', 1 CPU threads, torch ' in machine and 'float32, eager' in machine
    for row, line in zip(rows, values, strict=True):
        assert row['mac_ratio'] < 1
        assert row['time_over_macs'] == row['time_ratio'] / row['mac_ratio']
        assert f'{row["time_ratio"]:.3f}' in line
        assert ('eval_ratio' in row) == (name == 'tiny')
        assert ('zoo_ratio' in row) == (name == 'recogniser')
    assert ("the zoo's ms" in titles) == ('CPU time, frames of' in machine) == (
        name == 'recogniser')


def test_bad_options_end_with_one_line(run_tool, tiny_config):
    assert run_tool(BENCHMARK, 'no.py') == 'error: config file not found: no.py'
    for tool in (BENCHMARK, FLOPS):
        said = run_tool(tool, tiny_config, '--out', 'no/out.json')
        assert said == 'error: no/out.json: there is no folder no'


def transformer(tokens, width, layers):
    """Multiply-adds: four projections and the MLP's eight, and attention's two."""
    return layers * (12 * tokens * width**2 + 2 * tokens**2 * width)


def test_flops_are_those_of_the_sizes(run_tool, tiny_config, tmp_path):
    cfg = Config.fromfile(tiny_config)
    neck, = cfg.model.backbone.necks
    cfg.model.backbone.necks = []
    plain, out = tmp_path / 'plain.py', tmp_path / 'out.json'
    cfg.dump(plain)
    printed = run_tool(FLOPS, plain, tiny_config, '--out', out)
    rows = json.loads(out.read_text())
    row, clustered = rows[str(plain)], rows[str(tiny_config)]
    patches, embedding = 16, 32 * 16
    frame = patches * 3 * 16**2 * 32 + transformer(1 + patches, 32, 3) + embedding
    assert row['frames'] == clustered['frames'] == 8
    assert row['video_gmacs'] == pytest.approx(8 * frame / 1e9, rel=1e-12)
    assert row['text_gmacs'] == clustered['text_gmacs'] == pytest.approx(
        (transformer(16, 16, 2) + (16 + 1) * 16 * 16) / 1e9, rel=1e-12)
    assert row['params_m'] == pytest.approx(sum(
        p.numel() for p in MODELS.build(cfg.model).parameters()) / 1e6)
    # Behind the neck there are two segments of sixteen centers, not eight frames.
    assert (neck.before_block, neck.num_segments, neck.num_centers) == (3, 2, 16)
    saved = 6 * (transformer(17, 32, 1) + embedding) / 1e9
    assert 0 < saved - (row['video_gmacs'] - clustered['video_gmacs']) < saved / 2
    assert f'{plain}: {row["video_gmacs"]:.2f} GMACs a video of 8 frames' in printed
    run_tool(FLOPS, plain, '--num-frames', 3, '--out', out)
    row = json.loads(out.read_text())[str(plain)]
    assert row['frames'] == 3
    assert row['video_gmacs'] == pytest.approx(3 * frame / 1e9, rel=1e-12)


def test_flops_of_recognisers(run_tool, tmp_path):
    """A clip without a caption: 4 x 16 tokens of 4 blocks, 2 x 16 behind two."""
    configs = sorted((CONFIGS / 'recognition/videomae').glob('*shapes*.py'))
    run_tool(FLOPS, *configs, '--out', tmp_path / 'out.json')
    reduced, whole = json.loads((tmp_path / 'out.json').read_text()).values()
    width = Config.fromfile(configs[1]).model.backbone.embed_dims
    macs = transformer(64, width, 4) + 64 * 2 * 3 * 16**2 * width
    assert whole['video_gmacs'] == pytest.approx(macs / 1e9, rel=1e-2)
    assert .5 < reduced['video_gmacs'] / whole['video_gmacs'] < .8
    assert 'text_gmacs' not in whole and whole['frames'] == 8
