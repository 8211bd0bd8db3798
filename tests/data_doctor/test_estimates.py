"""What compressing and caching a few videos says of all."""
import json

import pytest
from mmengine.config import Config

from mmaction_centerclip.data_doctor.diagnose import diagnose
from mmaction_centerclip.data_doctor.summary import summarize

from ..datasets.clips import FRAMES, h264, write_clip


def config_of(folder, test_mode):
    for i in range(3):
        write_clip(folder / f'{i}.mp4', **h264())
    (folder / 'a.json').write_text(json.dumps({f'{i}.mp4': ['a'] for i in range(3)}))
    return Config(dict(default_scope='mmaction', val_dataloader=dict(dataset=dict(
        type='VideoTextRetrievalDataset', ann_file='a.json', data_root=str(folder),
        test_mode=test_mode, pipeline=[
            dict(type='VideoInit'),
            dict(type='SampleFramesWithMask', clip_len=4, test_mode=test_mode),
            dict(type='VideoDecode'), dict(type='Resize', scale=(-1, 32)),
            dict(type='FormatShape', input_format='NCHW'),
            dict(type='PackActionInputs', collect_keys=('imgs', ))]))))


@pytest.mark.parametrize('test_mode, frames', [(True, 12), (False, 3 * FRAMES)])
def test_estimates(tmp_path, test_mode, frames):
    report = diagnose(config_of(tmp_path, test_mode), str(tmp_path / 'x.jsonl'), 1, 2)
    split, = report['splits']
    found = {row['way']: row for row in split['estimates']}
    assert list(found) == [
        'as they are', 'compressed, 3 frames a second',
        'compressed, all-intra, all frames', 'frame cache, jpeg', 'frame cache, raw']
    for row in found.values():
        assert row['seconds_per_sample'] > 0 and row['gib'] > 0
        assert row['hours_one_process'] == pytest.approx(
            3 * row['seconds_per_sample'] / 3600, abs=1e-6)
    size = sum(path.stat().st_size for path in tmp_path.glob('*.mp4'))
    assert found['as they are']['gib'] == pytest.approx(size / 2**30, abs=1e-6)
    width, height = split['figures']['size'][0]
    raw = frames * (4 + 3 * 32 * round(32 * max(width, height) / min(width, height)))
    assert found['frame cache, raw']['gib'] == pytest.approx(raw / 2**30, rel=.05)
    assert found['frame cache, jpeg']['gib'] < found['frame cache, raw']['gib']
    assert any('frame cache, jpeg: ' in line for line in summarize(report))
    assert not list(tmp_path.glob('*.db'))


def test_nothing_is_measured_where_nothing_can_be(tmp_path):
    report = diagnose(config_of(tmp_path, True), str(tmp_path / 'x.jsonl'), 1, 0)
    assert report['splits'][0]['estimates'] == []
    cfg = config_of(tmp_path, True)
    cfg.val_dataloader.dataset.pipeline[0].type = 'DecordInit'
    cfg.val_dataloader.dataset.pipeline[2].type = 'DecordDecode'
    report = diagnose(cfg, str(tmp_path / 'x.jsonl'), 1)
    assert report['splits'][0]['estimates'] == []
