"""Checkpoints of mmengine, and hostile ones in their place."""
import builtins
import zipfile

import mmengine
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from .processes import start


def test_mmengines_checkpoints_load_safely(tmp_path):
    hub = MessageHub.get_instance('compat')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', np.float64(1.5).item())
    hub.update_info('seed', np.int64(3))
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(message_hub=hub.state_dict()), path)
    loaded = torch.load(path, weights_only=True)['message_hub']
    buffer = loaded['log_scalars']['train/loss']
    assert isinstance(buffer, HistoryBuffer)
    assert buffer.mean() == 1.0 and buffer.statistics('max') == 1.5
    assert type(buffer.data[0]) is np.ndarray
    assert loaded['runtime_info']['seed'] == 3


@pytest.mark.parametrize('code', ['?', 'u1', 'i2', 'i4', 'i8', 'f2', 'f4', 'f8',
                                  'c8'])
def test_arrays_of_numbers_load(tmp_path, code):
    array = np.arange(6).reshape(2, 3).astype(code)
    torch.save(dict(array=array, scalar=array[0, 1]), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded['array'].dtype == array.dtype
    assert np.array_equal(loaded['array'], array)
    assert loaded['scalar'] == array[0, 1]


class Reduced:

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('payload, message', [
    (Reduced(print, ('hello', )), 'print'),
    (Reduced(builtins.getattr, (HistoryBuffer, '__init__')), "'__init__'"),
    (Reduced(builtins.getattr, (np.ndarray, 'mean')), "'mean' of"),
    (Reduced(builtins.eval, ('1', )), 'eval'),
    (np.array(['text']), "dtype 'U4'"),
    (np.array([object()]), "dtype 'O8'"),
    (np.zeros(1, [('a', 'f8'), ('b', 'O')]), "dtype 'V16'"),
    (np.zeros(1, 'M8[s]'), "dtype 'M8'"),
])
def test_anything_else_is_refused_by_name(tmp_path, payload, message):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(payload=payload), path)
    with pytest.raises(Exception, match=message):
        torch.load(path, weights_only=True)


def load_hidden_objects(codes, path):
    for code in codes:
        fields = {'a': (Reduced(np.dtype, ('i8', )), 0)}
        state = (3, '<', None, ('a', ), fields, 8, 1, 0)
        dtype = Reduced(np.dtype, (code, False, True), state)
        reconstruct = np.empty(0).__reduce__()[0]
        torch.save(Reduced(reconstruct, (np.ndarray, (0, ), b'b'),
                           (1, (2, ), dtype, False, b'A' * 16)), path)
        # The field's own dtype is one of numbers: make it one of objects.
        with zipfile.ZipFile(path) as file:
            entries = {name: file.read(name) for name in file.namelist()}
        with zipfile.ZipFile(path, 'w') as file:
            for name, data in entries.items():
                file.writestr(name, data.replace(b'i8', b'O8'))
        named = f"dtype '{'O8' if code == 'f8' else code}'"
        with pytest.raises(Exception, match=named):
            torch.load(path, weights_only=True)


@pytest.mark.slow
def test_objects_hidden_in_a_dtype_are_refused(tmp_path):
    """In a process of its own, which a crash would end."""
    process = start(load_hidden_objects, ['V8', 'M8', 'm8', 'f8'], tmp_path / 'a.pth',
                    log=tmp_path / 'log')
    process.join()
    assert process.exitcode == 0, (tmp_path / 'log').read_text()


def test_a_dtype_cannot_be_written_into(tmp_path):
    fields = {'a': (np.dtype('f8'), 0)}
    dtype = Reduced(np.dtype, ('f8', False, True),
                    (3, '<', None, ('a', ), fields, 8, 1, 0))
    reconstruct = np.empty(0).__reduce__()[0]
    torch.save(Reduced(reconstruct, (np.ndarray, (0, ), b'b'),
                       (1, (2, ), dtype, False, b'A' * 16)), tmp_path / 'a.pth')
    loaded = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert loaded.dtype is np.dtype('f8') and loaded.dtype.names is None


class Model(mmengine.model.BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, mode='tensor'):
        return dict(loss=(self.weight * x).sum())


def runner(folder, **options):
    return Runner(
        Model(), str(folder), experiment_name=str(folder),
        default_scope='mmaction',  # Which the next test finds.
        train_dataloader=dict(
            dataset=[torch.ones(1)] * 4,
            sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1)), **options)


def test_resuming_does_not_run_the_config_in_a_checkpoint(tmp_path):
    whole = runner(tmp_path / 'whole')
    whole.train()
    checkpoint = torch.load(tmp_path / 'whole/epoch_1.pth', weights_only=True)
    assert 'cfg' in checkpoint['meta']
    written = tmp_path / 'written'
    checkpoint['meta']['config'] = f"open({str(written)!r}, 'w').close()"
    torch.save(checkpoint, tmp_path / 'hostile.pth')
    resumed = runner(tmp_path / 'resumed', resume=True,
                     load_from=str(tmp_path / 'hostile.pth'))
    resumed.train()
    assert resumed.iter == whole.iter == 8
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert not written.exists()


def test_a_config_in_the_users_own_text_is_read_as_before():
    config = mmengine.Config.fromstring('a = 1 + 1', file_format='.py')
    assert config.a == 2
