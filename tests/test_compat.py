import builtins
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

import mmaction_centerclip  # noqa: F401
from mmaction_centerclip import compat


@pytest.mark.slow  # imports everything anew
def test_the_stock_models_import():
    code = ('import mmaction_centerclip, mmaction.models\n'
            'from mmaction.models.localizers import DRN\n'
            'try:\n    DRN()\nexcept ImportError as e: print(e)')
    out = subprocess.run([sys.executable, '-c', code], capture_output=True,
                         text=True, check=True).stdout
    assert 'issues/2714' in out


@pytest.mark.parametrize('version, kept', [('4.55.4', True), ('5.2.0', False)])
def test_vindlu_is_left_out_where_transformers_is_too_new(
        monkeypatch, version, kept):
    from mmaction.utils import dependency
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)
    monkeypatch.setattr(compat.importlib.metadata, 'version',
                        lambda name: version)
    compat.leave_out_vindlu()
    assert dependency.WITH_MULTIMODAL is kept


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


class Evil:

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize('payload, message', [
    (Evil(print, ('hello', )), 'print'),
    (Evil(builtins.getattr, (HistoryBuffer, '__init__')), "'__init__'"),
    (Evil(builtins.getattr, (np.ndarray, 'mean')), "'mean' of"),
    (Evil(builtins.eval, ('1', )), 'eval'),
])
def test_anything_else_is_refused_by_name(tmp_path, payload, message):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(payload=payload), path)
    with pytest.raises(Exception, match=message):
        torch.load(path, weights_only=True)


def test_an_older_torch_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1')
    added = []
    monkeypatch.setattr(torch.serialization, 'add_safe_globals', added.append)
    compat.allow_mmengine_checkpoints()
    assert not added


def test_no_mmcv_names_both_ways(monkeypatch):
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'mmcv-lite.*mim install .mmcv'):
        compat.require_mmcv()


def test_the_repairs_are_idempotent():
    before = sys.modules['mmaction.models.localizers.drn']
    compat.apply()
    assert sys.modules['mmaction.models.localizers.drn'] is before
