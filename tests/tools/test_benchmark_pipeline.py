"""The stages of a data pipeline are timed beside MMAction2's."""
import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmaction_centerclip.benchmarking.pipelines import (
    STAGES,
    Pipeline,
    stage_of,
    stock_pipeline,
    time_stages,
)

from ..datasets.clips import h264, write_clip
from ..paths import CONFIGS

TOOL = 'analysis_tools/benchmark_pipeline.py'
CONFIG = CONFIGS / ('retrieval/clip4clip/clip4clip_vit-base-p32-res224-clip-pre_'
                    '2xb64-u12-5e_msrvtt-9k-rgb.py')
STEPS = [
    dict(type='VideoInit'), dict(type='SampleFramesWithMask', clip_len=4),
    dict(type='VideoDecode'), dict(type='OpenCLIPResize'),
    dict(type='OpenCLIPTokenize'), dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))]


@pytest.fixture
def videos(tmp_path):
    (tmp_path / 'videos').mkdir()
    for name in ('a.mp4', 'b.mp4'):
        write_clip(tmp_path / 'videos' / name, **h264())
    return tmp_path / 'videos'


def test_stages():
    init_default_scope('mmaction')
    assert [stage_of(step) for step in STEPS] == [
        'open', 'sample', 'decode', 'resize', 'tokenise', 'pack', 'pack']
    stock = stock_pipeline(STEPS)
    assert [step['type'] for step in stock] == [
        'DecordInit', 'SampleFramesWithMask', 'DecordDecode', 'Resize', 'CenterCrop',
        'FormatShape', 'OpenCLIPTokenize', 'PackActionInputs']
    assert stock[1] is not STEPS[1] and stock[1] == STEPS[1]


def test_all_draw_the_same_frames_and_stages_are_timed(videos):
    init_default_scope('mmaction')
    files = [str(path) for path in sorted(videos.iterdir())]
    pipelines = [Pipeline('stock', stock_pipeline(STEPS), files),
                 Pipeline('ours', STEPS, files)]
    for seed in range(3):
        (stock, _), (ours, spent) = (pipeline.run(1, seed) for pipeline in pipelines)
        assert stock['frame_inds'].tolist() == ours['frame_inds'].tolist()
        assert set(spent) == set(STAGES) and spent['decode'] > 0
    assert not np.array_equal(pipelines[1].run(1, 3)[0]['frame_inds'],
                              ours['frame_inds'])
    times = time_stages(pipelines, repeats=1)
    for name in ('stock', 'ours'):
        assert len(times[name]) == 2
        for video in times[name]:
            # Medians do not add up, but none is above that of the sums.
            assert max(video[stage] for stage in STAGES) <= video['total']
            assert video['decode'] > 0 and video['transfer'] == 0


def test_tool(videos, tmp_path, run_tool):
    out = tmp_path / 'figures.json'
    said = run_tool(TOOL, CONFIG, '--videos', videos, '--repeats', 1, '--rounds', 1,
                    '--num-workers', 0, '--model-ms', 2, '--device', 'cpu',
                    '--out', out)
    report = json.loads(out.read_text())
    rows = {row['name']: row for row in report['pipelines']}
    assert list(rows) == ['stock', 'original', 'compressed', 'jpeg', 'raw']
    assert report['videos'] == ['a.mp4', 'b.mp4'] and report['model_ms'] == 2
    for name, row in rows.items():
        assert row['same_frames'], name
        assert row['times_stock'] == pytest.approx(
            rows['stock']['ms']['total'] / row['ms']['total'])
        assert report['loaders']['0'][name] > 0
    assert rows['raw']['differ'] == rows['original']['differ'] == 0
    assert 0 <= rows['jpeg']['differ'] < 2
    assert 'workers to keep up' in said and 'loader, 0 workers' in said
    assert not list(tmp_path.glob('*.db'))


def test_a_pipeline_of_another_kind(videos, run_tool):
    said = run_tool(TOOL, CONFIG, '--videos', videos, '--cfg-options',
                    'test_dataloader.dataset.pipeline=[]')
    assert said.startswith('error: ') and 'begins with VideoInit' in said
    assert 'no video file' in run_tool(TOOL, CONFIG, '--videos', videos.parent)
