"""Damaged files of tensors: each an InputError, or loaded."""
import random

import pytest
import torch
from mmengine.logging import MessageHub
from safetensors.torch import save_file

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import load_features
from mmaction_centerclip.utils.tensor_files import read_checkpoint, read_tensors

from .processes import start


def read_mutants(source, count):
    """Damage a file in all kinds of ways, and read each."""
    whole, draw = source.read_bytes(), random.Random(7)
    path, loaded = source.with_name(f'mutant{source.suffix}'), 0
    for number in range(count):
        data = bytearray(whole)
        kind = draw.randrange(4)
        if kind == 0:
            data = data[:draw.randrange(len(data))]
        elif kind == 1:
            start = draw.randrange(len(data))
            del data[start:start + draw.randrange(1, 64)]
        else:
            for _ in range(draw.choice([1, 1, 2, 8, 64])):
                data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        for read in (read_checkpoint, read_tensors, load_features):
            try:
                read(str(path))
                loaded += 1
            except InputError as error:
                assert str(path) in str(error), (number, error)
                assert chr(10) not in str(error), (number, error)
    assert loaded  # Some mutants are harmless.


def checkpoint(path):
    """A small checkpoint as mmengine writes it, the message hub included."""
    hub = MessageHub.get_instance(f'mutants{random.random()}')
    hub.update_scalar('train/loss', 1.5)
    hub.update_info('epoch', 3)
    torch.save(dict(
        meta=dict(epoch=3, iter=9, cfg='x = 1'), state_dict=dict(
            weight=torch.randn(8, 4), bias=torch.arange(3)),
        message_hub=hub.state_dict(), optimizer=dict(state={})), path)


FORMATS = {
    'checkpoint.pth': checkpoint,
    'legacy.pth': lambda path: torch.save(
        dict(a=torch.randn(5, 3)), path, _use_new_zipfile_serialization=False),
    'archive.pt': lambda path: torch.jit.script(torch.nn.Linear(3, 2)).save(str(path)),
    'weights.safetensors': lambda path: save_file(dict(a=torch.randn(4, 4)), path),
}


@pytest.mark.slow
@pytest.mark.parametrize('name, count', list(zip(FORMATS, (180, 40, 40, 40))))
def test_a_damaged_file_is_an_input_error_or_loaded(name, count, tmp_path):
    """In a process of its own, which a crash would end."""
    FORMATS[name](tmp_path / name)
    process = start(read_mutants, tmp_path / name, count, log=tmp_path / 'log')
    process.join()
    assert process.exitcode == 0, (tmp_path / 'log').read_text()[-1500:]
