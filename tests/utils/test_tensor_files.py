"""Archives give their tensors, and none of their code runs."""
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.tensor_files import (
    is_torchscript,
    read_checkpoint,
    read_tensors,
    read_torchscript,
)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleList([nn.Linear(3, 4), nn.LayerNorm(4)])
        self.thin = nn.Parameter(torch.randn(5, 2).half().T)
        self.shared = self.inner[0].weight
        self.register_buffer('count', torch.arange(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.inner:
            x = layer(x)
        return x


@pytest.mark.parametrize('compiled', ['script', 'trace'])
def test_equals_torch_jit_load(compiled, tmp_path):
    path = str(tmp_path / 'archive.pt')
    model = Model()
    archive = torch.jit.script(model) if compiled == 'script' else torch.jit.trace(
        model, torch.zeros(2, 3))
    archive.save(path)
    assert is_torchscript(path)
    expected = torch.jit.load(path).state_dict()
    got = read_torchscript(path)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value) and got[name].dtype == value.dtype


class Hostile(nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self):
        return (self.weight, self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]):
        self.weight = state[0]
        self.path = state[1]
        self.training = state[2]
        torch.from_file(state[1], shared=True, size=4)


def test_code_of_an_archive_does_not_run(tmp_path):
    owned, path = str(tmp_path / 'owned'), str(tmp_path / 'archive.pt')
    torch.jit.script(Hostile(owned)).save(path)
    with pytest.raises(InputError, match='archive.pt'):
        read_checkpoint(path)
    assert not os.path.exists(owned)


class Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command, )


@pytest.mark.parametrize('content', [
    lambda folder: pickle.dumps(Command(f'touch {folder}/owned')),
    lambda folder: b'\x80\x02cposix\nsystem\nq\x00.',
    lambda folder: b'no pickle', lambda folder: b'',
])
def test_a_pickle_of_an_archive_is_restricted(content, tmp_path):
    path = str(tmp_path / 'archive.pt')
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('archive/constants.pkl', pickle.dumps(()))
        file.writestr('archive/data.pkl', content(tmp_path))
    with pytest.raises(InputError, match='archive.pt'):
        read_tensors(path)
    assert not (tmp_path / 'owned').exists()


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path):
    path, out = str(tmp_path / 'good.pt'), str(tmp_path / 'bad.pt')
    torch.jit.script(Model()).save(path)
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(out, 'w') as bad:
        for name in good.namelist():
            data = good.read(name)
            bad.writestr(name, data[:-2] if '/data/' in name else data)
    with pytest.raises(InputError, match='bad.pt'):
        read_tensors(out)

