"""All that a checkpoint holds beside weights is checked before it is resumed."""
import shutil

import pytest
import torch

from mmaction_centerclip.engine.checkpoints import check_training_state
from mmaction_centerclip.errors import InputError

OPTIMIZER = dict(state={}, param_groups=[dict(lr=1.)])
GOOD = dict(
    meta=dict(epoch=1, iter=6), optimizer=OPTIMIZER, param_schedulers=[{}],
    message_hub=dict(log_scalars={}, resumed_keys={}, runtime_info=dict(
        keep_ckpt_ids=[1], best_score=3.)))


def test_states_of_trainings_pass():
    check_training_state(GOOD, 'a.pth')
    check_training_state(dict(GOOD, optimizer=dict(a=OPTIMIZER, b=OPTIMIZER),
                              param_schedulers=dict(a=[{}], b=[])), 'a.pth')


@pytest.mark.parametrize('changes, message', [
    (dict(meta=None), 'meta.epoch'), (dict(meta=[1]), 'meta.epoch'),
    (dict(meta=dict(epoch=1)), 'meta.epoch and meta.iter'),
    (dict(meta=dict(epoch='1', iter=6)), 'meta.epoch'),
    (dict(meta=dict(epoch=-1, iter=6)), 'meta.epoch'),
    (dict(meta=dict(epoch=True, iter=6)), 'meta.epoch'),
    (dict(optimizer={}), 'optimizer'), (dict(optimizer=[1]), 'optimizer'),
    (dict(optimizer=dict(state={}, param_groups=[1])), 'optimizer'),
    (dict(optimizer=dict(a=OPTIMIZER, b=3)), 'optimizer'),
    (dict(param_schedulers=None), 'param_schedulers'),
    (dict(param_schedulers=['x']), 'param_schedulers'),
    (dict(message_hub=None), 'message_hub'), (dict(message_hub={}), 'message_hub'),
    *[(dict(message_hub=dict(GOOD['message_hub'], runtime_info=info)), message)
      for info, message in ((3, 'message_hub'), (dict(keep_ckpt_ids=3), 'keep_ckpt'),
                            (dict(keep_ckpt_ids=['../../a']), 'keep_ckpt_ids'),
                            (dict(best_score='x'), 'best_score'))],
])
def test_others_are_named(changes, message):
    with pytest.raises(InputError, match=f'a.pth has .* damaged, expected {message}'):
        check_training_state(dict(GOOD, **changes), 'a.pth')


def test_weights_only_are_told_apart():
    with pytest.raises(InputError, match='weights only.*load_from=FILE'):
        check_training_state(dict(meta={}), 'a.pth')


@pytest.fixture
def content(trained):
    """The checkpoint of the first epoch of two."""
    return torch.load(trained[0] / 'epoch_1.pth', weights_only=False)


@pytest.mark.slow
@pytest.mark.parametrize('edit, message', [
    (lambda c: c['meta'].update(iter=3), 'of epoch 1, iteration 3; the config has'),
    (lambda c: c['meta'].update(epoch=7, iter=42), 'of epoch 7, iteration 42'),
    (lambda c: c['optimizer']['state'][0].update(exp_avg=torch.ones(3)),
     r'another optimizer: .* of other shapes \[0\]'),
    (lambda c: c['optimizer']['param_groups'].pop(), r'groups of \[41\] param'),
    (lambda c: c.pop('param_schedulers'), 'no state of the learning rate'),
    (lambda c: c['param_schedulers'][0].update(_global_step=10**6),
     'that of step 1000000, its weights are of 6'),
])
def test_a_state_of_another_training_is_not_resumed(content, run_tool, tiny_config,
                                                    tmp_path, edit, message):
    edit(content)
    torch.save(content, tmp_path / 'epoch_1.pth')
    said = run_tool('train.py', tiny_config, '--work-dir', tmp_path, '--resume',
                    '--no-validate')
    assert said.startswith('error: ') and 'epoch_1.pth' in said
    with pytest.raises(InputError, match=message):
        raise InputError(said)
    assert not (tmp_path / 'epoch_2.pth').exists()


@pytest.mark.slow
def test_old_checkpoints_are_deleted_late_and_no_other_files(
        work, content, run_tool, tiny_config):
    (work / 'epoch_2.pth').unlink()
    # As if a kill had come before epoch 0 was deleted; and a hostile name.
    shutil.copy(work / 'epoch_1.pth', work / 'epoch_0.pth')
    info = content['message_hub']['runtime_info']
    info.update(keep_ckpt_ids=[0, 1], best_ckpt='/elsewhere/notes.txt', best_score=-1.)
    torch.save(content, work / 'epoch_1.pth')
    (work / 'notes.txt').write_text('mine')
    run_tool('train.py', tiny_config, '--work-dir', work, '--resume', '--cfg-options',
             'default_hooks.checkpoint.max_keep_ckpts=1',
             'default_hooks.checkpoint.save_best=auto')
    assert [p.name for p in work.glob('epoch_*')] == ['epoch_2.pth']
    assert (work / 'notes.txt').read_text() == 'mine'
    assert len(list(work.glob('best_*'))) == 1
