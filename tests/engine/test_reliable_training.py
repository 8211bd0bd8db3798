"""A training means what its log says, and loses nothing."""
import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend

from mmaction_centerclip.engine import find_resumable, lock_work_dir
from mmaction_centerclip.errors import InputError

from .. import processes


@pytest.fixture
def train(run_tool, tiny_config, tmp_path):
    """Train a tiny config in this process; what it printed, or its error."""

    def run(*options, resume=False, work_dir=tmp_path / 'work', more=()):
        return run_tool('train.py', tiny_config, '--work-dir', work_dir,
                        *(['--resume'] if resume else []), *more,
                        *(['--cfg-options', *options] if options else []))

    return run


def change(path, edit):
    content = torch.load(path, weights_only=False)
    edit(content)
    torch.save(content, path)


@pytest.mark.slow
@pytest.mark.parametrize('spoil', ['rate', 'weight'])
def test_nan_stops_the_training_before_it_is_saved(train, work, spoil):
    options = []
    if spoil == 'rate':
        options = ['optim_wrapper.optimizer.eps=0', 'optim_wrapper.clip_grad=None',
                   'optim_wrapper.optimizer.betas=(0.0,0.0)']
        (work / 'epoch_1.pth').unlink(), (work / 'epoch_2.pth').unlink()
    else:
        change(work / 'epoch_1.pth', lambda c: c['state_dict'][
            'text_backbone.text_projection'].fill_(torch.inf))
        (work / 'epoch_2.pth').unlink()
    said = train(*options, resume=spoil == 'weight')
    assert 'error: training stopped in epoch' in said and 'iteration' in said
    assert 'train0' in said and '.mp4' in said
    assert not (work / 'epoch_2.pth').exists()


@pytest.mark.slow
def test_other_weights_are_not_tested_or_resumed(run_tool, tiny_config, work):
    path = work / 'epoch_2.pth'
    content = torch.load(path, weights_only=False)

    def said(edit, script='test.py'):
        state = dict(content['state_dict'])
        edit(state)
        torch.save(dict(content, state_dict=state), work / 'other.pth')
        where = ['--resume', work / 'other.pth'] if script == 'train.py' else [
            work / 'other.pth']
        return run_tool(script, tiny_config, *where, '--work-dir', work / 'out')

    assert not said(lambda s: None).startswith('error')
    key = 'backbone.conv1.weight'
    for edit, message in (
        (lambda s: s.pop(key), f'missing .{key!r}'),
        (lambda s: s.update({key: s[key][:5]}), r'type .* \(5, 3, 16, 16\), exp'),
        (lambda s: s.update({key: s[key].int()}), r'\) of torch.int32, exp'),
        (lambda s: s.update({key: s[key] * torch.nan}), f'{key!r} .*not a number'),
        (lambda s: s.update(more=s[key]), "not part of the model .'more'"),
        (lambda s: [s.update({f'x{i}': torch.ones(1)}) or s.pop(k)
                    for i, k in enumerate(list(s))], '0 of')):
        printed = said(edit)
        assert printed.startswith('error: ') and 'other.pth' in printed
        assert re.search(message, printed), printed
    assert f'missing {[key]}' in said(lambda s: s.pop(key), 'train.py')
    from open_clip.model import CLIP

    from ..conftest import TINY_ARCH
    torch.save(CLIP(**dict(TINY_ARCH)).state_dict(), work / 'other.pth')
    printed = run_tool('test.py', tiny_config, work / 'other.pth')
    assert 'open_clip' in printed and 'any_to_mmaction.py' in printed


@pytest.mark.slow
def test_load_from_may_start_another_head(train, trained, tmp_path):
    start = f'load_from={trained[0] / "epoch_2.pth"}'
    printed = train(start, 'train_cfg.max_epochs=1', 'param_scheduler.end=1',
                    'model.head.type=SequentialLSTMHead', 'model.head.embed_dims=16',
                    'model.video_projection=True')
    assert (tmp_path / 'work/epoch_1.pth').is_file(), printed
    log, = (tmp_path / 'work').glob('*/*.log')
    assert '5 keys of the model are new' in log.read_text()
    # Also where --resume finds nothing to go on with.
    assert 'no such file: none.pth' in train('load_from=none.pth', resume=True,
                                             work_dir=tmp_path / 'fresh')
    printed = train(start, 'model.arch.vision_cfg.width=64',
                    work_dir=tmp_path / 'other')
    assert 'of another shape' in printed


@pytest.mark.slow
@pytest.mark.parametrize('options, message', [
    (['train_cfg.max_epochs=4', 'param_scheduler.end=4'], 'another schedule.*end='),
    (['optim_wrapper.optimizer.lr=0.5'], 'another schedule.*base_values'),
    (['train_dataloader.batch_size=8'], 'another schedule.*end=')])
def test_another_schedule_is_not_resumed(train, work, options, message):
    (work / 'epoch_2.pth').unlink()
    assert re.search(message, train(*options, resume=True))


@pytest.mark.slow
def test_a_validation_that_was_missed_is_made_up_for(train, work):
    for log in work.glob('*/vis_data/scalars.json'):  # killed in front of it
        lines = log.read_text().split('\n')
        log.write_text('\n'.join(x for x in lines if 'retrieval' not in x)
                       + '{"retrieval/t2v/R1": 3')
    printed = train(resume=True)
    assert 'Epoch 2 was not validated' in printed and 't2v/R1' in printed
    again = train(resume=True)
    assert 'was not validated' not in again and 'error' not in again[:9]


@pytest.mark.slow
def test_the_newest_readable_checkpoint_of_the_folder(work, tmp_path, capsys):
    newest, before = work / 'epoch_2.pth', work / 'epoch_1.pth'
    (work / 'last_checkpoint').write_text('/elsewhere/epoch_7.pth')
    assert find_resumable(str(work)) == str(newest)
    (work / 'last_checkpoint').write_text('')
    newest.write_bytes(newest.read_bytes()[:999])
    assert find_resumable(str(work)) == str(before)
    change(before, lambda content: content.pop('optimizer'))
    with pytest.raises(InputError, match='no checkpoint in .* is readable.*epoch_2'):
        find_resumable(str(work))
    assert find_resumable(str(tmp_path / 'none')) is None


def hold(work_dir, sign):
    lock_work_dir(work_dir)
    Path(sign).touch()
    time.sleep(60)


@pytest.mark.slow
def test_a_work_dir_has_one_training(tmp_path):
    other = processes.start(hold, str(tmp_path / 'work'), str(tmp_path / 'held'))
    while other.is_alive() and not (tmp_path / 'held').exists():
        time.sleep(.01)
    with pytest.raises(InputError, match=f'another training .*process {other.pid}'):
        lock_work_dir(str(tmp_path / 'work'))
    processes.kill(other)
    lock_work_dir(str(tmp_path / 'work'))
    # Not even a child that outlives this process would hold it.
    child = os.fork()
    if not child:
        time.sleep(0.2)
        os._exit(0)
    os.waitpid(child, 0)
    shutil.rmtree(tmp_path / 'work')
    lock_work_dir(str(tmp_path / 'work'))
    assert (tmp_path / 'work').is_dir()


def test_a_work_dir_that_is_a_file_is_named(tmp_path):
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(InputError, match='--work-dir .*file'):
        lock_work_dir(str(tmp_path / 'file'))
    assert (tmp_path / 'file').read_text() == 'mine'


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    LocalBackend().put(b'first', path)

    def fail(self, obj, filepath):
        Path(filepath).write_bytes(obj[:2])
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(LocalBackend.put, 'in_place', fail)
    with pytest.raises(OSError, match='epoch_1.pth'):
        LocalBackend().put(b'second', path)
    assert path.read_bytes() == b'first' and list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_old_checkpoints_go_when_the_new_one_is_there(train, tmp_path, monkeypatch):
    removed = []
    original = LocalBackend.remove

    def remove(self, path):
        folder = Path(path).parent
        removed.append((Path(path).name, sorted(p.name for p in folder.glob('*.pth')),
                        (folder / 'last_checkpoint').read_text()))
        original(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', remove)
    train('default_hooks.checkpoint.max_keep_ckpts=1', 'train_cfg.val_interval=1',
          'default_hooks.checkpoint.save_best=auto')
    work = tmp_path / 'work'
    name, there, last = next(r for r in removed if r[0] == 'epoch_1.pth')
    assert 'epoch_2.pth' in there and last.endswith('epoch_2.pth')
    best = [p.name for p in work.glob('best_*.pth')]
    assert len(best) == 1 and best[0].startswith('best_retrieval_t2v_R1_epoch_')
    assert [p.name for p in work.glob('epoch_*')] == ['epoch_2.pth']


@pytest.mark.slow
@pytest.mark.parametrize('options, message', [
    (['default_hooks.checkpoint.save_best=retrieval/t2v/R2'], 'got .retrieval/t2v/R2'),
    (['default_hooks.checkpoint.max_keep_ckpts=0'], 'max_keep_ckpts.* got 0'),
    (['train_dataloader.batch_size=1'], 'batch of one pair'),
    (['train_dataloader.batch_size=23'], 'batch of one pair'),
    (['train_cfg.max_epochs=0'], 'max_epochs must be a positive integer, got 0'),
    (['train_cfg.max_epochs=-1'], 'got -1'),
    (['optim_wrapper.optimizer.lr=1e10'], 'lr must be above 0 and at most 10'),
    (['optim_wrapper.optimizer.lr=fast'], 'lr must be a finite number'),
    (['optim_wrapper.paramwise_cfg.clip_lr_mult=-1'], 'clip_lr_mult .* got -1'),
    (['model.frozen_layers=1.5'], 'frozen_layers .* got 1.5'),
    (['model.head.init_logit_scale=1000'], 'init_logit_scale .* got 1000'),
    (['default_hooks.clamp_logit_scale.min=nan'], 'min must be a finite number'),
    (['val_dataloader.dataset.pipeline.1.test_mode=False'], 'test_mode must be True'),
    (['train_dataloader.dataset.pipeline.1.num_clips=2'], 'num_clips must be 1'),
    (['train_dataloader.dataset.max_refetch=-1'], 'max_refetch .* got -1'),
    (['train_dataloader.dataset.nonsense=3'], "nonsense"),
    (['val_evaluator.allow_missing=foo'], "allow_missing .* got 'foo'"),
    (['train_dataloader.batch_size=1.5'], 'batch_size.*1.5'),
    (['model.type=NoSuchModel'], 'NoSuchModel'),
    (['train_cfg.type=NoSuchLoop'], 'NoSuchLoop'),
    (['randomness.seed=x'], 'seed'),
    (['model.backbone.necks.0.num_segments=True'], 'num_segments .* got True'),
    (['default_hooks.checkpoint.interval=0'], 'interval .* positive integer, got 0'),
    (['default_hooks.checkpoint.filename_tmpl=a.pth'], "filename_tmpl .* 'a.pth'"),
    (['optim_wrapper.clip_grad.max_norm=-1'], 'clip_grad.max_norm must be above 0'),
    (['param_scheduler.begin=-1'], 'begin must not be negative, got -'),
    (['model.data_preprocessor.mean=[1,2]'], r'mean must .* three .* got \[1, 2\]'),
    (['model.data_preprocessor.std=[0,1,1]'], 'std must be above 0, got 0'),
    (['model.data_preprocessor.format_shape=NCTHW'], "format_shape .* 'NCTHW'"),
    (['train_dataloader.dataset.pipeline=[]'], 'pipeline must be a list'),
    (['train_dataloader.num_workers=1.5'], 'num_workers must .* got 1.5'),
    (['log_processor.window_size=x'], "log_processor.window_size .* got 'x'"),
    (['model=3'], 'model must be a dict or None, got 3'),
    (['load_from=3'], 'load_from must be a text or None, got 3'),
    (['load_from=torchvision://none'], 'torchvision://none cannot be loaded'),
])
def test_a_wrong_setting_is_one_line_before_the_training(train, tmp_path, options,
                                                         message):
    said = train(*options)
    assert said.startswith('error: ') and '\n' not in said, said
    assert re.search(message, said), said
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_a_video_listed_twice_is_an_error(train, shapes, tmp_path):
    pairs = json.loads((shapes / 'train.json').read_text())
    name = next(iter(pairs))
    text = json.dumps(pairs)[:-1] + f', {json.dumps(name)}: ["again"]}}'
    (tmp_path / 'twice.json').write_text(text)
    said = train(f'train_dataloader.dataset.ann_file={tmp_path / "twice.json"}')
    assert said.startswith('error: ') and f'{name!r} stands 2 times' in said


@pytest.mark.slow
def test_a_resumed_copy_leaves_the_original_alone(work, trained, train):
    before = {p: p.stat().st_mtime_ns for p in trained[0].glob('*.pth')}
    (work / 'epoch_2.pth').unlink()
    printed = train(resume=True)
    assert re.search(r'Resuming from .*work/epoch_1\.pth', printed)
    assert {p: p.stat().st_mtime_ns for p in trained[0].glob('*.pth')} == before
    expected, got = (torch.load(folder / 'epoch_2.pth')['state_dict']
                     for folder in (trained[0], work))
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert Config.fromfile(next(work.glob('*.py'))).resume
