"""A file of data chooses among this project's heads, and nothing else."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation.stored_head import build_stored_head
from mmaction_centerclip.models import MeanPoolingHead, WeightedTokenInteractionHead

WTI = dict(type='WeightedTokenInteractionHead', embed_dims=8)


def stored(config, state=None):
    if state is None:
        state = WeightedTokenInteractionHead(8).state_dict()
    return dict(config=config, state_dict=state)


@pytest.mark.parametrize('config', [
    WTI, dict(WTI, chunk_size=3, init_logit_scale=1.5, freeze_logit_scale=True),
    dict(WTI, loss=dict(type='DualSoftmaxLoss', label_smoothing=0.1)),
    dict(WTI, loss=dict(type='SigmoidLoss'), init_logit_bias=-10.0)])
def test_a_head_of_this_project_is_built(config):
    bias = config.get('init_logit_bias')
    state = WeightedTokenInteractionHead(8, init_logit_bias=bias).state_dict()
    head = build_stored_head(stored(config, state))
    assert not head.training
    for name, value in head.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_head_that_the_user_imported_is_built():
    @MODELS.register_module(name='OutsideHeadOfATest', force=True)
    class OutsideHead(MeanPoolingHead):
        def __init__(self, width, **kwargs):
            super().__init__(**kwargs)
            self.scale = torch.nn.Parameter(torch.ones(width))

    state = OutsideHead(3).state_dict()
    head = build_stored_head(
        stored(dict(type='OutsideHeadOfATest', width=3), state))
    assert isinstance(head, OutsideHead)


@pytest.mark.parametrize('config, message', [
    (dict(type='os.system', command='touch owned'), "type .* got 'os.system'"),
    (dict(type='builtins.open', file='owned', mode='w'), "got 'builtins.open'"),
    (dict(type='torch.load', f='x', weights_only=False), "got 'torch.load'"),
    (dict(type='mmaction.WeightedTokenInteractionHead', embed_dims=8), 'got .mmaction'),
    (dict(type='Linear', in_features=1, out_features=1), "got 'Linear'"),
    (dict(type='ResNet', depth=50, pretrained='x'), "got 'ResNet'"),
    (dict(type='VideoTextRetriever'), "got 'VideoTextRetriever'"),
    (dict(type=['a']), r"got .'a'."),
    (dict(embed_dims=8), 'got None'),
    ('WeightedTokenInteractionHead', 'must be a config'),
    (None, 'must be a config'),
    (dict(WTI, loss=dict(type='os.system', command='touch owned')),
     "head.loss: type .* got 'os.system'"),
    (dict(WTI, loss=dict(type='DualSoftmaxLoss', loss_weight=dict(type='os.abort'))),
     "head.loss.loss_weight: type .* got 'os.abort'"),
    (dict(WTI, loss='os.system'), 'loss must be a dict'),
    (dict(WTI, _scope_='os'), "got '_scope_'"),
    (dict(WTI, init_cfg=dict(type='Pretrained', checkpoint='x')), "got 'init_cfg'"),
    (dict(WTI, self=1), "got 'self'"),
    (dict(WTI, nonsense=1), "got 'nonsense'"),
    (dict(WTI, embed_dims=[8]), r'embed_dims must be .* got \[8\]'),
    (dict(WTI, embed_dims=9), 'cannot be built'),
    (dict(WTI, embed_dims=-1), 'positive integer, got -1'),
    (dict(type='SequentialTransformerHead', embed_dims=8, num_layers=10**6),
     'num_layers must be at most'),
    (dict(type='SequentialLSTMHead', embed_dims=10**6), 'cannot be built'),
])
def test_nothing_else_is_built(config, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        build_stored_head(stored(config))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('bad, message', [
    (None, 'config and a state_dict, got None'),
    (dict(config=WTI), "got .'config'"),
    (stored(WTI, {'a': 1}), 'of tensors'), (stored(WTI, [1]), 'of tensors'),
    (stored(WTI, {}), 'other names')])
def test_its_parts_are_checked(bad, message):
    with pytest.raises(InputError, match=message):
        build_stored_head(bad)
