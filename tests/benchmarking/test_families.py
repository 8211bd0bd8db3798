"""The table of open_clip's models: what builds, and what is equal."""
import open_clip
import pytest
import torch

from mmaction_centerclip.benchmarking import families, family_of, group_families, survey
from mmaction_centerclip.models import CLIPTextTower, CLIPTimmVisionTower


@pytest.mark.parametrize('name, tower, tags, depth', [
    ('PE-Core-T-16-384', 'CLIPTimmVisionTower', 1, 2),
    ('ViT-B-32', 'CLIPVisionTower', 22, 1),
    ('ViT-S-16', 'CLIPVisionTower', 0, None),
])
def test_a_model_that_builds(name, tower, tags, depth):
    model = survey(name, depth)
    assert (model.tower, model.tags) == (tower, tags)
    assert model.reason is None and model.difference is None


@pytest.mark.parametrize('name, reason', [
    ('RN50', 'its vision tower takes no necks: it is made of convolutions, '
     'which have no tokens to drop'),
    ('roberta-ViT-B-32',
     "its text tower is Hugging Face's, not the transformer of open_clip"),
])
def test_a_refused_model_has_its_reason(name, reason):
    model = survey(name)
    assert model.reason == reason and model.tower is None


def test_every_model_has_a_family():
    for name in open_clip.list_models():
        assert family_of(name) in families.FAMILIES
    assert {family_of(name) for name in open_clip.list_models()} == set(
        families.FAMILIES)


def test_families_are_counted():
    rows = group_families([
        families.Model('a', 'A', 2, reason='no blocks'),
        families.Model('b', 'B', 1, tower='X'), families.Model('c', 'B', 3, tower='X'),
        families.Model('d', 'B', 5, reason='no blocks')])
    assert rows == [['B', 2, 4, 'X'],
                    ['A', 1, 2, 'no blocks'], ['B', 1, 5, 'no blocks']]


@pytest.mark.parametrize('cls, method, change, message', [
    (CLIPTimmVisionTower, 'tokens_to_features', lambda x: x + 1e-6, 'video features'),
    (CLIPTextTower, 'project', lambda x: 2 * x, 'text features differ by'),
    (CLIPTimmVisionTower, 'tokens_to_features', torch.Tensor.detach, None),
])
def test_other_outputs_are_a_difference(monkeypatch, cls, method, change, message):
    original = getattr(cls, method)
    monkeypatch.setattr(cls, method, lambda *args: change(original(*args)))
    difference = survey('PE-Core-T-16-384', 1).difference
    assert message in difference if message else difference is None


def test_other_keys_are_a_difference(monkeypatch):
    arch = families.reduced_arch('PE-Core-T-16-384')
    assert families.compare_keys(arch) is None
    original = families._towers

    def narrower(arch):
        return original(dict(arch, embed_dim=8))

    monkeypatch.setattr(families, '_towers', narrower)
    difference = families.compare_keys(arch)
    assert difference == ('backbone.trunk.head.bias: (8,) here, (64,) in open_clip')
