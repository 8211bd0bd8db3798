"""Bad input through the tools: one line that names it, and nothing done."""
import json
import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

TRAIN, TEST = 'train.py', 'test.py'
FEATURES = 'analysis_tools/eval_features.py'
CONVERT = 'model_converters/any_to_mmaction.py'
RUNS = 'analysis_tools/summarize_runs.py'


@pytest.fixture(scope='module')
def place(tiny_config, tiny_checkpoint, shapes, tmp_path_factory):
    """A folder with files of all kinds of faults, which no tool changes."""
    tmp_path = tmp_path_factory.mktemp('place')
    shutil.copy(tiny_config, tmp_path / 'config.py')
    shutil.copy(tiny_checkpoint, tmp_path / 'tiny.pth')
    for name, last, captions in (
            ('binary_demo', b'\xff\x00', b'{"a": ["b"]}'), ('null_demo', b'x', b'null'),
            ('empty_demo', b'', b'{"a": ["b"]}'),
            ('deep_demo', b'x', b'{"a": [[[]]]}')):
        (tmp_path / name / 'centerclip').mkdir(parents=True)
        (tmp_path / name / 'centerclip' / 'last_checkpoint').write_bytes(last)
        (tmp_path / name / 'centerclip' / 'x').touch()
        (tmp_path / name / 'test.json').write_bytes(captions)
    files = {
        'text.pth': b'no tensors', 'empty.pth': b'', 'bad.json': b'{"a": [',
        'list.json': b'[1]', 'deep.json': b'[' * 100000,
        'latin.json': b'{"\xe9": ["a"]}',
        'twice.json': b'{"a.mp4": ["a"], "x/../a.mp4": ["b"]}',
        'endless.json': b'{"schema_version": 1, "videos": [{"video": "a", "id": "a", '
        b'"captions": ["a"], "start": 1' + b'0' * 399 + b'}]}',
        'numbers.json': b'{"a.mp4": [1]}', 'blank.json': b'{"a.mp4": [" "]}',
        'none.json': b'{"nowhere.mp4": ["a caption"]}', 'syntax.py': b'a = (',
        'nomodel.py': b'a = 1', 'raises.py': b'a = undefined', 'base.py':
        b'_base_ = "nowhere.py"'}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    checkpoint = torch.load(tiny_checkpoint)
    settings = checkpoint['meta']['feature_settings']
    for name, changed in dict(
            heads={'backbone.num_heads': 7}, frames=dict(num_frames=3),
            gelu={'text_backbone.activation': 'Tanh()'},
            mean=dict(mean=[9.0, 9.0, 9.0]),
            lora={'backbone.eps': 10**400}, odd=dict(std=[[1]])).items():
        checkpoint['meta']['feature_settings'] = {**settings, **changed}
        torch.save(checkpoint, tmp_path / f'{name}.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save(torch.ones(2), tmp_path / 'tensor.pth')
    torch.save({1: torch.ones(2)}, tmp_path / 'integers.pth')
    torch.save({}, tmp_path / 'nothing.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(2))), tmp_path / 'other.pth')
    torch.save(dict(a=torch.ones(9999)), tmp_path / 'cut.pth')
    os.truncate(tmp_path / 'cut.pth', 9000)
    save_file(dict(a=torch.ones(2)), tmp_path / 'other.safetensors')
    (tmp_path / 'cut.safetensors').write_bytes(
        (tmp_path / 'other.safetensors').read_bytes()[:20])
    (tmp_path / 'pickle.pth').write_bytes(pickle.dumps(os.system))
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / 'archive.pt'))
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'runs' / '20260101_000000' / 'vis_data').mkdir(parents=True)
    (tmp_path / 'runs' / 'config.py').write_text('model = dict()')
    (tmp_path / 'runs/20260101_000000/vis_data/scalars.json').write_text(
        '{"retrieval/t2v/R1": 1}\nno json\n')
    (tmp_path / 'cut').mkdir()
    (tmp_path / 'cut' / 'manifest.json').write_text('{"version')
    shutil.copytree(tmp_path / 'runs', tmp_path / 'nested')
    (tmp_path / 'nested/20260101_000000/vis_data/scalars.json').write_text(
        '[' * 100000 + '\\n')
    (tmp_path / 'binary').mkdir()
    (tmp_path / 'binary' / 'config.py').write_bytes(b'\xff\xfe\x00')
    return tmp_path


def index(*words):
    return ('search.py', 'index', *words, '--index', 'out.index', '--config',
            'config.py', '--checkpoint', 'tiny.pth')


def demo(name):
    return 'search.py', 'demo', '--work-dir', name, '--data', name, '--out', 'out.demo'


def option(*settings):
    return (TRAIN, 'config.py', '--work-dir', '{work}', '--cfg-options', *settings)


DATA, PIPE = 'train_dataloader.dataset.', 'train_dataloader.dataset.pipeline.'
FAULTS = {
    **{f'{tool} {name}': ((tool, 'config.py', *where, name), name)
       for tool, where in ((TEST, ()), (TRAIN, ('--resume', )))
       for name in ('nowhere.pth', 'text.pth', 'empty.pth', 'list.pth', 'tensor.pth',
                    'integers.pth', 'nothing.pth', 'other.pth', 'cut.pth', 'folder',
                    'pickle.pth', 'fifo', 'cut.safetensors', 'archive.pt')},
    **{f'checkpoint of other {name}': ((TEST, 'config.py', f'{name}.pth'), named)
       for name, named in dict(
           heads='num_heads (head_width) 7, here 2', mean='mean [9.0, 9.0, 9.0], here',
           gelu="(quick_gelu) 'Tanh()', here", frames='num_frames 3, here 8',
           lora='is damaged', odd='is damaged').items()},
    **{f'features {name}': ((FEATURES, name), name)
       for name in ('nowhere.pth', 'text.pth', 'list.pth', 'other.pth', 'cut.pth',
                    'pickle.pth', 'folder')},
    **{f'convert {name}': ((CONVERT, name, '--out', 'out.pth'), name)
       for name in ('nowhere.pt', 'text.pth', 'integers.pth', 'nothing.pth',
                    'other.pth', 'other.safetensors', 'pickle.pth', 'archive.pt')},
    **{f'config {name}': ((TRAIN, name), name)
       for name in ('nowhere.py', 'syntax.py', 'nomodel.py', 'folder', 'fifo')},
    'config without its base': ((TRAIN, 'base.py'), 'nowhere.py'),
    'config that raises': ((TRAIN, 'raises.py'), 'undefined'),
    **{f'annotations {name}': (option(f'{DATA}ann_file={{place}}/{name}'), name)
       for name in ('nowhere.json', 'bad.json', 'list.json', 'deep.json', 'latin.json',
                    'numbers.json', 'blank.json', 'none.json', 'twice.json',
                    'endless.json')},
    **{f'a file of features that is {name}': (option(
        f'{DATA}features={{place}}/{name} {PIPE}1.test_mode=True '
        'model.frozen_towers=True'), name)
       for name in ('text.pth', 'nowhere.db', 'folder', 'cut.pth')},
    **{f'setting {text}': (option(text), named) for text, named in (
        ('train_dataloader.batch_size=0', '0'),
        ('train_dataloader.batch_size=-1', '-1'),
        ('train_dataloader.num_workers=-1', 'num_workers'),
        ('train_dataloader.sampler.type=NoSampler', 'NoSampler'),
        (f'{DATA}captions=some', 'some'), (f'{DATA}type=NoDataset', 'NoDataset'),
        (f'{PIPE}1.clip_len=0', 'clip_len'),
        (f'{PIPE}0.type=NoTransform', 'NoTransform'),
        (f'{PIPE}1.nonsense=1', 'nonsense'),
        ('model.backbone.type=ResNet', 'ResNet'), ('model.head.type=NoHead', 'NoHead'),
        ('model.arch=NoArch', 'NoArch'), ('model.pretrained=notag', 'notag'),
        ('model.backbone.linear_patch=4d', '4d'),
        ('model.backbone.necks.0.p=-1', 'p must be'),
        ('model.backbone.necks.0.p=two', 'two'),
        ('model.backbone.necks.0.tol=x', 'tol'),
        ('model.backbone.necks.0.distance=l7', 'l7'),
        ('model.backbone.necks.0.aggregation=sum', 'sum'),
        ('model.backbone.necks.0.before_block=0', 'before_block'),
        ('model.text_backbone.context_length=999', '999'),
        ('model.head.loss.type=NoLoss', 'NoLoss'),
        ('model.head.loss.type=SymmetricInfoNCELoss model.head.loss.loss_weight=-1',
         'loss_weight'),
        ('optim_wrapper.type=NoWrapper', 'NoWrapper'),
        ('optim_wrapper.type=AmpOptimWrapper', 'AmpOptimWrapper'),
        ('optim_wrapper.optimizer.type=NoOptimizer', 'NoOptimizer'),
        ('optim_wrapper.paramwise_cfg.nonsense=1', 'nonsense'),
        ('param_scheduler.warmup_ratio=2', 'warmup_ratio'),
        ('param_scheduler.end=1000000000', 'end'),
        ('train_cfg.val_interval=0', 'interval'),
        ('train_dataloader.batch_size=99 train_dataloader.drop_last=True', 'drop_last'),
        ('val_evaluator.topk=[0]', 'topk'),
        ('val_evaluator.more_metrics=[none]', 'none'),
        ('val_evaluator.extra=[mAP]', 'extra'),
        ('val_evaluator.rerank=[no]', 'rerank'),
        ('val_evaluator.max_pairs=0', 'max_pairs'),
        ('randomness.seed=-1', 'seed'),
        ('val_evaluator.type=AccMetric', 'AccMetric'),
        ('test_evaluator.type=mmaction.ConfusionMatrix', 'ConfusionMatrix'),
        ('model.frozen_towers=no', "got 'no'"), ('model.frozen_layers=True', 'True'),
        ('model.video_pretrained=5', 'got 5'), ('model.pretrained=True', 'got True'),
        ('model.backbone.with_cp=1', 'got 1'), ('model.arch.quick_gelu=0', 'got 0'),
        ('model.arch.vision_cfg.layers=True', 'got True'),
        ('model.backbone.necks.0.p=True', 'got True'),
        ('model.head.freeze_logit_scale=off', "got 'off'"),
        ('default_hooks.checkpoint.by_epoch=1', 'got 1'),
        (f'{DATA}mask_repeats=1', 'got 1'),
        ('model.lora.backbone.r=2 model.frozen_towers=True', 'frozen_towers'),
        ('model.arch.vision_cfg.nonsense=1', 'nonsense'),
        ('default_hooks.checkpoint.save_best=retrieval/none', 'save_best'),
        ('default_hooks.check_finite.interval=0', 'interval'),
        ('default_hooks.data_report.max_files=-1', 'max_files'))},
    'launcher without torchrun': (
        (TRAIN, 'config.py', '--launcher', 'pytorch'), 'torchrun'),
    'work dir that is a file': (
        (TRAIN, 'config.py', '--work-dir', 'text.pth'), 'text.pth'),
    'features to no folder': (
        (TEST, 'config.py', 'other.pth', '--dump', 'x.txt'), 'x.txt'),
    'json to no folder': (
        (FEATURES, 'other.pth', '--out', 'no/out.json'), 'no/out.json'),
    'json to a folder': ((FEATURES, 'other.pth', '--out', 'folder'), 'folder'),
    'json to a full device': (
        ('analysis_tools/get_flops.py', 'config.py', '--out', '/dev/full'),
        '/dev/full'),
    'shapes over a file': (('data/shapes/prepare_shapes.py', '--out', 'text.pth'),
                           'text.pth'),
    'shapes with a cut manifest': (
        ('data/shapes/prepare_shapes.py', '--out', 'cut'), 'manifest.json'),
    'runs nested deep': ((RUNS, 'nested'), 'nested'),
    'runs nowhere': ((RUNS, 'nowhere'), 'nowhere'),
    'runs of an empty folder': ((RUNS, 'folder'), 'folder'),
    'runs with damage': ((RUNS, 'runs'), 'scalars.json'),
    'runs of a binary config': ((RUNS, 'binary'), 'binary'),
    **{f'{name} of a file': ((f'data/{name}/prepare_{name}.py', 'bad.json'), 'bad.json')
       for name in ('msrvtt', 'msvd', 'lsmdc', 'activitynet', 'didemo', 'vatex',
                    'own')},
    'lsmdc of an empty folder': (('data/lsmdc/prepare_lsmdc.py', 'folder'), 'folder'),
    'own captions of no kind': (('data/own/prepare_own.py', 'folder', 'bad.json'),
                                'bad.json'),
    'index of no folder': (index('nowhere'), 'nowhere'),
    'index of a folder without files': (index('folder'), 'folder'),
    'index with dropping of a folder that never was': (
        index('nowhere', '--drop-missing'), 'nowhere'),
    'index of a name with an escape': (index('a\x1b[2J'), r'a\x1b[2J'),
    'index of a name with a bidirectional mark': (
        index('a\u202eb'), r'a\u202eb'),
    **{f'index of windows of {window}': (
        index('runs', '--window', window), 'window must be')
       for window in ('1e-9', '5e-324', 'inf', '-1')},
    **{f'demo that is {name}': (demo(f'{name}_demo'), f'{name}_demo')
       for name in ('binary', 'null', 'empty', 'deep')},
    'flops': (('analysis_tools/get_flops.py', 'nomodel.py'), 'nomodel.py'),
}


def files_of(place):
    """Return the files on top, with what changes where one is written."""
    found = ((path, path.stat()) for path in place.glob('*.*') if path.is_file())
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in found}


@pytest.mark.slow
@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_is_one_line(fault, place, run_tool, monkeypatch, tmp_path):
    command, named = FAULTS[fault]
    monkeypatch.chdir(place)
    before = files_of(place)
    words = [word.format(place=place, work=tmp_path)
             for part in command for word in part.split(' ')]
    said = run_tool(*words)
    assert said.startswith('error: ') and '\n' not in said, said
    assert named in said, said
    assert len(said) < 1500
    assert not list(place.glob('out.*')) and not list(tmp_path.rglob('*.pth'))
    assert files_of(place) == before


def test_there_are_enough_kinds_of_faults():
    assert len(FAULTS) >= 60 and len(json.dumps(list(FAULTS))) > 1000
