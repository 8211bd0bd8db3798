"""The doctor finds what is wrong with a folder of videos, and trainings finish."""
import itertools
import json
import re
import shutil
from pathlib import Path

import av
import pytest
from mmengine.config import Config

from mmaction_centerclip.datasets.doctor import diagnose
from mmaction_centerclip.datasets.doctor.splits import (
    find_false_negatives,
    find_leaks,
    read_data_splits,
)
from mmaction_centerclip.datasets.doctor.videos import examine_video, find_decoders
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError

from ..datasets.clips import CLIPS, write_clip
from ..paths import CONFIGS
from ..processes import run_tool

VIDEOS = 40
SPOILT = dict(
    missing=[f'{i}.mp4' for i in range(5)], cut=['5.mp4', '6.mp4', '7.avi'],
    text=['8.mp4'], av1=['9.mp4'], gif=['10.mp4'], empty=['11.mp4'], short=['12.mp4'],
    named=['<img src=x onerror=alert(1)>&amp;.mp4'])


@pytest.fixture(scope='module')
def spoilt(shapes, tmp_path_factory):
    """Videos to train on, some of each fault, and a few to test on."""
    folder = tmp_path_factory.mktemp('spoilt')
    (folder / 'videos').mkdir()
    known = {name: kind for kind, names in SPOILT.items() for name in names}
    names = [*known, *(f'{i}.mp4' for i in range(13, 13 + VIDEOS - len(known)))]
    sources = itertools.cycle(sorted((shapes / 'videos').glob('train*.mp4')))
    for name, source in zip(names, sources):
        spoil(folder / 'videos' / name, known.get(name), source)
    for name in ('a.mp4', 'b.mp4'):
        shutil.copy(sorted((shapes / 'videos').glob('test*.mp4'))[ord(name[0]) - 97],
                    folder / 'videos' / name)
    (folder / 'train.json').write_text(json.dumps({
        name: [f'caption {i}', *(['caption 0'] if i == 24 else []),
               *(['  '] if i == 26 else []), *(['long ' * 40] if i == 28 else [])]
        for i, name in enumerate(names)}))
    shutil.copy(folder / 'videos/20.mp4', folder / 'videos/copy.mp4')
    (folder / 'test.json').write_text(json.dumps({
        'a.mp4': ['one'], 'b.mp4': ['two'], '30.mp4': ['caption 3'],
        'copy.mp4': ['three']}))
    return folder


def spoil(path, kind, source):
    if kind in (None, 'named'):
        shutil.copy(source, path)
    elif kind == 'cut':
        clip = 'mpeg4.avi' if path.suffix == '.avi' else (
            'faststart.mp4' if path.name == '5.mp4' else 'h264.mp4')
        write_clip(path, **CLIPS[clip])
        path.write_bytes(path.read_bytes()[:int(path.stat().st_size * .9)])
    elif kind == 'text':
        path.write_text('this is not a video\n' * 40)
    elif kind == 'empty':
        path.touch()
    elif kind == 'short':
        write_clip(path, **CLIPS['h264.mp4'], frames=3)
    elif kind in ('av1', 'gif'):
        name = 'av1.mp4' if kind == 'av1' else 'gif.gif'
        shutil.move(write_clip(path.with_name(f'new-{name}'), **CLIPS[name]), path)


@pytest.fixture(scope='module')
def config(spoilt, tiny_config, tmp_path_factory):
    cfg = Config.fromfile(tiny_config)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].dataset.data_root = str(spoilt)
        cfg[loader].dataset.pipeline.insert(
            3, dict(type='Resize', scale=(64, 64), keep_ratio=False))
    cfg.train_dataloader.dataset.captions = 'all'
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.param_scheduler.end = 1
    path = tmp_path_factory.mktemp('config') / 'spoilt.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def examine(config):
    """Run the doctor; what it printed and its report."""

    def run(out):
        said = run_tool('data/doctor.py', config, '--out', out, '--num-workers', 2)
        assert not said.startswith('error'), said
        return said, json.loads((out / 'report.json').read_text()), out

    return run


@pytest.fixture(scope='module')
def examined(examine, tmp_path_factory):
    return examine(tmp_path_factory.mktemp('doctor'))


@pytest.mark.slow
def test_every_fault_is_found(examined, spoilt):
    said, report, out = examined
    train, val = report['splits']
    assert val['same_as'] == ['test'] and val['states']['ok'] == 4
    states = dict(missing='missing', text='unreadable', empty='empty', short='short')
    expected = {name: states[kind] for kind in states for name in SPOILT[kind]}
    expected.update({'5.mp4': 'cut_off', '6.mp4': 'unreadable', '7.avi': 'cut_off'})
    found = {video['file'].rpartition('/')[2]: video for video in train['faults']}
    assert {name: video['state'] for name, video in found.items()} == expected
    assert train['present'] == VIDEOS - 5
    assert sum(train['states'].values()) == train['videos'] == VIDEOS
    assert 'an MP4 without its whole index, cut off' in found['6.mp4']['reason']
    assert 'it is a text' in found['8.mp4']['reason']
    assert found['12.mp4']['reason'] == 'has 3 frames, 8 are asked for'
    assert {video['file'].rpartition('/')[2]: video['codec']
            for video in train['unusual']} == {'9.mp4': 'av1', '10.mp4': 'gif'}
    assert f'train, train.json: {VIDEOS} videos: 5 not there, ' in said
    rates = sorted(train['figures']['rate'])
    middle = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2
    assert f'  medians: {middle:.4g} frames a second, ' in said
    page = (out / 'report.html').read_text()
    for name in (*expected, '9.mp4', '10.mp4'):
        assert f'{spoilt}/videos/{name}' in said and f'{spoilt}/videos/{name}' in page
    assert '<img src=x' not in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page)
    assert '//' not in re.sub(r'base64,[\w+/=]+', '', page)


@pytest.mark.slow
def test_captions(examined):
    _, report, _ = examined
    train = report['splits'][0]
    assert train['captions']['captions'] == VIDEOS + 3
    assert len(train['captions']['empty']) == 1
    assert train['captions']['over_long'] == ['long ' * 40]
    assert train['captions']['context_length'] == 16
    assert 0 < train['seconds_per_sample'] < 1


@pytest.mark.slow
def test_only_what_changed_is_read_again(examine, examined, spoilt, tmp_path):
    _, before, first = examined
    out = Path(shutil.copytree(first, tmp_path / 'doctor'))
    lines = (out / 'videos.jsonl').read_text().splitlines()
    assert len(lines) == VIDEOS + 4
    (out / 'videos.jsonl').write_text('\n'.join(lines[:20]) + '\n' + lines[20][:30])
    assert examine(out)[1]['splits'][0]['faults'] == before['splits'][0]['faults']
    after = (out / 'videos.jsonl').read_text().splitlines()
    assert after[:20] == lines[:20] and len(after) == VIDEOS + 4
    assert examine(out)[1] == json.loads((out / 'report.json').read_text())
    assert (out / 'videos.jsonl').read_text().splitlines() == after
    shutil.copy(spoilt / 'videos/20.mp4', spoilt / 'videos/0.mp4')
    try:
        assert examine(out)[1]['splits'][0]['states']['missing'] == 4
    finally:
        (spoilt / 'videos/0.mp4').unlink()


def test_leaks_and_false_negatives(config):
    splits = read_data_splits(Config.fromfile(config))
    leak, = find_leaks(splits)
    assert leak['splits'] == ['train', 'val']
    assert [name.rpartition('/')[2] for name in leak['same_name']] == ['30.mp4']
    copies = [tuple(name.rpartition('/')[2] for name in pair)
              for pair in leak['same_content']]
    assert ('20.mp4', 'copy.mp4') in copies
    assert leak['same_caption'] == ['caption 3']

    found = find_false_negatives(splits[0])
    samples, size = splits[0].samples, splits[0].batch_size
    # The obvious slow way: every pair of samples, each as likely in a batch.
    for kind, same in (
        ('same_video', lambda a, b: a['filename'] == b['filename']),
        ('same_caption', lambda a, b: a['text'] == b['text'])):
        pairs = [same(a, b) for a, b in itertools.combinations(samples, 2)]
        share = size * (size - 1) / 2 / len(pairs)
        assert found[kind]['pairs_per_batch'] == pytest.approx(
            sum(pairs) * share, abs=1e-4)
        assert sum(pairs) > 0
    assert found['same_caption']['samples'] == 2


def test_one_video_has_one_name(config, spoilt, tmp_path):
    (tmp_path / 'link.mp4').symlink_to(spoilt / 'videos/20.mp4')
    link = str(tmp_path / 'link.mp4')
    cfg = Config.fromfile(config)
    cfg.pop('test_dataloader')

    def diagnosed(**names):
        for loader, few in names.items():
            path = tmp_path / f'{loader}.json'
            path.write_text(json.dumps({name: [f'{loader} {name}'] for name in few}))
            cfg[f'{loader}_dataloader'].dataset.ann_file = str(path)
        return diagnose(cfg, str(tmp_path / 'videos.jsonl'), 1)

    with pytest.raises(InputError, match='val.json.*link.mp4 are one video'):
        diagnosed(train=['21.mp4'], val=['20.mp4', link])
    leak, = diagnosed(train=['20.mp4', '21.mp4'], val=[link])['leaks']
    assert len(leak['same_name']) == 1 and not leak['same_content']


def test_a_recogniser_s_videos(spoilt, tmp_path):
    config = CONFIGS / ('recognition/videomae/'
                        'vit-tiny-p16-res64_8x1x1_1xb72-20e_shapes-color-rgb.py')
    (tmp_path / 'labels.txt').write_text(
        '\x1b[2J.mp4 0\n8.mp4 1\n20.mp4 1\n./20.mp4 1\n')
    options = [f'{loader}_dataloader.dataset.{name}={value}'
               for loader in ('train', 'val', 'test') for name, value in (
                   ('data_root', ''), ('ann_file', tmp_path / 'labels.txt'),
                   ('data_prefix.video', spoilt / 'videos'))]
    said = run_tool('data/doctor.py', config, '--out', tmp_path, '--cfg-options',
                    *options)
    report = json.loads((tmp_path / 'report.json').read_text())
    states = report['splits'][0]['states']
    assert [states[name] for name in ('missing', 'unreadable', 'ok')] == [1, 1, 1]
    assert '  one video under 2 names: ' in said
    assert 'it is a text' in said and 'captions' not in said
    assert '/\\x1b[2J.mp4: not there' in said
    assert (tmp_path / 'report.html').is_file()


@pytest.mark.parametrize('mistake', [TypeError, AttributeError, NameError, ImportError])
def test_its_own_mistakes_are_no_file_s_fault(mistake, config, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise mistake('of ours')

    split = read_data_splits(Config.fromfile(config))[0]
    sample = next(x for x in split.samples if x['filename'].endswith('/20.mp4'))
    for place in ((VideoReader, 'get_batch'), (av, 'open')):
        monkeypatch.setattr(*place, fail)
        with pytest.raises(mistake, match='of ours'):
            examine_video(split.dataset, sample)
        with pytest.raises(mistake, match='of ours'):
            find_decoders(sample['filename'])


def test_drawn_captions_meet_as_often_as_they_are_drawn(config):
    cfg = Config.fromfile(config)
    cfg.train_dataloader.dataset.captions = 'random'
    split = read_data_splits(cfg)[0]
    samples, size = split.samples, split.batch_size
    pairs = [sum(a == b for a in x['text'] for b in y['text'])
             / len(x['text']) / len(y['text'])
             for x, y in itertools.combinations(samples, 2)]
    assert find_false_negatives(split)['same_caption']['pairs_per_batch'] == (
        pytest.approx(sum(pairs) * size * (size - 1) / 2 / len(pairs), abs=1e-4))
    assert 0 < sum(pairs) < 1


def test_data_sets_that_are_joined(config):
    cfg = Config.fromfile(config)
    one = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[
        one, dict(one, captions='random')])
    assert [split.name for split in read_data_splits(cfg)] == [
        'train 1', 'train 2', 'val']


@pytest.mark.slow
def test_another_decoder_that_reads_it_is_named(config, tmp_path):
    cfg = Config.fromfile(config)
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0], pipeline[2] = dict(type='DecordInit'), dict(type='DecordDecode')
    cfg.dump(tmp_path / 'decord.py')
    said = run_tool('data/doctor.py', tmp_path / 'decord.py', '--out', tmp_path / 'out')
    assert re.search(r'/9\.mp4: cannot be read: .*; first frame by: VideoInit', said)


@pytest.mark.slow
def test_samples_of_several_shapes_make_no_batch(config, tmp_path):
    cfg = Config.fromfile(config)
    del cfg.train_dataloader.dataset.pipeline[3]
    cfg.dump(tmp_path / 'unlike.py')
    out = tmp_path / 'out'
    said = run_tool('data/doctor.py', tmp_path / 'unlike.py', '--out', out)
    train, val = json.loads((out / 'report.json').read_text())['splits']
    assert [found['shape'] for found in train['shapes']] == [
        [8, 3, 64, 64], [8, 3, 64, 96]]
    assert len(val['shapes']) == 1
    assert said.count('samples of several shapes make no batch') == 1


@pytest.mark.parametrize('option, message', [
    ('train_dataloader.dataset.type=RawframeDataset', 'the doctor knows VideoText'),
    ('train_dataloader.dataset.ann_file=nowhere.json', 'annotation file not found')])
def test_what_it_cannot_read_is_named(option, message, config, tmp_path):
    said = run_tool('data/doctor.py', config, '--out', tmp_path, '--cfg-options',
                    option)
    assert said.startswith('error: train_dataloader') and message in said


@pytest.mark.slow
def test_training_finishes_and_lists_each(config, tmp_path, spoilt):
    run_tool('train.py', config, '--work-dir', tmp_path / 'work', '--cfg-options',
             'default_hooks.data_report.max_files=50')
    log = ''.join(path.read_text() for path in (tmp_path / 'work').rglob('*.log'))
    assert (tmp_path / 'work/epoch_1.pth').is_file()
    for name in (*SPOILT['missing'], '6.mp4', '8.mp4', '11.mp4'):
        assert f'{spoilt}/videos/{name}: ' in log
