"""Heads that start from CLIP's text tower."""
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from open_clip import CLIP

from mmaction_centerclip.models.backbones import CLIPTextTower

from ..conftest import TINY_ARCH
from ..paths import CONFIGS
from .head_cases import TRANSFORMERS, build


@pytest.mark.parametrize('name', TRANSFORMERS)
@pytest.mark.parametrize('layers', [1, 2, 3])
def test_init_from_text_tower(name, layers):
    arch = dict(TINY_ARCH, embed_dim=32, quick_gelu=True)
    tower = CLIPTextTower(arch, context_length=12)
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter)
    head = build(name, embed_dims=32, num_layers=layers)
    before = {k: x.clone() for k, x in head.state_dict().items()}
    head.init_from_text_tower(tower)
    state = tower.transformer.state_dict()
    for key, value in head.transformer.state_dict().items():
        expected = state.get(key, before[f'transformer.{key}'])
        assert torch.equal(value, expected), key
    assert torch.equal(head.position_embedding[:12],
                       tower.positional_embedding)
    assert torch.equal(head.position_embedding[12:],
                       before['position_embedding'][12:])
    assert head.position_embedding.requires_grad
    # A copy, not the same memory.
    head.position_embedding.data += 1
    assert not torch.equal(head.position_embedding[:12],
                           tower.positional_embedding)


@pytest.fixture
def warnings(monkeypatch):
    logged = []
    monkeypatch.setattr(
        'mmaction_centerclip.models.heads.transformer.print_log',
        lambda text, *_: logged.append(text))
    return logged


@pytest.mark.parametrize(
    'path', sorted((CONFIGS / 'retrieval').glob('*/*transf_*.py')),
    ids=lambda path: path.stem)
def test_heads_of_the_configs_start_from_their_text_tower(path, warnings):
    model = Config.fromfile(path).model
    with torch.device('meta'):  # at their full sizes
        tower = CLIPTextTower(
            model.arch, context_length=model.text_backbone.context_length)
        MODELS.build(model.head).init_from_text_tower(tower)
    assert not warnings


@pytest.mark.parametrize('name', TRANSFORMERS)
@pytest.mark.parametrize('dims, text_cfg, quick_gelu, message', [
    (16, {}, True, 'is 32 wide, the head 16'),
    (32, dict(mlp_ratio=2.0), True, 'another kind, though both are 32 wide'),
    (32, {}, False, 'has GELU; set quick_gelu=False'),
    (32, dict(heads=4), True, 'has num_heads=4; set that'),
])
def test_another_text_tower_is_not_copied(name, dims, text_cfg, quick_gelu,
                                          message, warnings):
    text_cfg = dict(TINY_ARCH['text_cfg'], **text_cfg)
    tower = CLIPTextTower(
        dict(TINY_ARCH, text_cfg=text_cfg, quick_gelu=quick_gelu))
    head = build(name, embed_dims=dims)
    before = {k: x.clone() for k, x in head.state_dict().items()}
    head.init_from_text_tower(tower)
    assert len(warnings) == 1 and name in warnings[0]
    assert message in warnings[0]
    for key, value in head.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.fixture
def from_file(retriever_cfg, tmp_path):
    """A retriever of context 12 that starts from a CLIP of context 16."""
    arch = dict(TINY_ARCH, embed_dim=32, quick_gelu=True)
    clip = CLIP(**arch)
    torch.nn.init.normal_(clip.positional_embedding)
    path = str(tmp_path / 'clip.pt')
    torch.save(clip.state_dict(), path)

    def build(name, pretrained=path, num_layers=1):
        cfg = retriever_cfg(pretrained=pretrained)
        cfg.update(arch=arch, head=dict(type=name, embed_dims=32,
                                        num_layers=num_layers, num_heads=2))
        model = MODELS.build(cfg)
        model.init_weights()
        return model

    return build, clip


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_positions_beyond_the_towers_context_are_copied_too(name, from_file):
    build, clip = from_file
    model = build(name)
    assert len(model.text_backbone.positional_embedding) == 12
    assert torch.equal(model.head.position_embedding[:16],
                       clip.positional_embedding)


def save_trained(model, folder):
    """The model with other weights in its head, and their file."""
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.add_(1)
    path = str(folder / 'retriever.pth')
    torch.save(dict(state_dict=model.state_dict()), path)
    return model, path


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_a_checkpoint_with_a_head_keeps_it(name, from_file, tmp_path):
    build, _ = from_file
    model, path = save_trained(build(name), tmp_path)
    again = build(name, path)
    for key, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_what_a_checkpoint_has_not_of_a_head_comes_from_clip(
        name, from_file, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(
        'mmaction_centerclip.clip.weights.print_log',
        lambda text, *_: logged.append(text))
    build, clip = from_file
    model, path = save_trained(build(name), tmp_path)
    more = build(name, path, num_layers=2)
    first, second = (more.head.transformer.resblocks[i].state_dict() for i in (0, 1))
    for key, value in model.head.transformer.resblocks[0].state_dict().items():
        assert torch.equal(first[key], value)
    for key, value in clip.transformer.resblocks[1].state_dict().items():
        assert torch.equal(second[key], value)
    warning, = logged
    assert 'a part of the head only' in warning and 'resblocks.1.' in warning
