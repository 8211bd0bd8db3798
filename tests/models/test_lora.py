"""Low-rank adapters in the towers of a retriever."""
import copy
import sys

import pytest
import torch
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TokenNeck
from mmaction_centerclip.models.lora import merge_adapters

from ..conftest import NECK

pytest.importorskip('peft')
MLP = dict(target_modules=['mlp.c_fc', 'mlp.c_proj'])
BOTH = dict(r=3, lora_alpha=5, target_modules=['mlp.c_fc'],
            target_parameters=['attn.in_proj_weight'])
LORA = dict(backbone=dict(r=4), text_backbone={})


@pytest.fixture
def build(build_retriever):
    """A retriever whose adapters do something."""

    def make(lora=LORA, necks=(NECK, ), **options):
        model = build_retriever(necks, lora=copy.deepcopy(lora), **options)
        for name, parameter in model.named_parameters():
            if '.lora_B.' in name:
                nn.init.normal_(parameter, std=0.3)
        return model

    return make


def plain_state(model, lora):
    """The obvious way: each adapted weight is W + alpha / r B A."""
    state = model.state_dict()
    plain = {key.replace('.base_layer', ''): value.clone()
             for key, value in state.items() if '.lora_' not in key}
    for key in state:
        layer, found, _ = key.partition('.lora_A.')
        if found:
            options = lora[key.split('.')[0]]
            scale = options.get('lora_alpha', 16) / options.get('r', 8)
            name = f'{layer}.in_proj_weight' if layer.endswith('attn') else (
                f'{layer}.weight')
            plain[name] += scale * (state[f'{layer}.lora_B.default.weight']
                                    @ state[f'{layer}.lora_A.default.weight'])
    return plain


@pytest.mark.parametrize('lora', [LORA, dict(backbone=BOTH, text_backbone=MLP)],
                         ids=['attention', 'both'])
@pytest.mark.parametrize('training, neck', [
    (True, NECK), (False, NECK), (False, dict(
        type='SaliencyTokenMerging', before_block=1, r=2, metric='keys'))])
def test_an_adapted_model_is_one_of_other_weights(build, build_retriever, inputs, lora,
                                                  training, neck):
    model, plain = build(lora, (neck, )), build_retriever((neck, ))
    plain.load_state_dict(plain_state(model, lora))
    with torch.set_grad_enabled(training):
        got, expected = (m.train(training)(inputs) for m in (model, plain))
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-4, atol=1e-5)
    # And merging gives that plain model.
    merge_adapters(model)
    assert model.state_dict().keys() == plain.state_dict().keys()
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value)
    for key, value in model(inputs).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match='no lora to merge'):
        merge_adapters(model)


def test_adapters_start_as_nothing(build_retriever, inputs):
    plain, model = build_retriever((NECK, )), build_retriever((NECK, ), lora=LORA)
    state = plain.state_dict()
    model.load_state_dict({key: state.get(key.replace('.base_layer', ''), value)
                           for key, value in model.state_dict().items()})
    got, expected = model(inputs), plain(inputs)
    assert all(torch.equal(got[key], expected[key]) for key in expected)


@pytest.mark.parametrize('options', [
    {}, dict(frozen_layers=0), dict(video_projection=True)])
def test_training_changes_the_adapters_and_what_is_new(build, inputs, options):
    neck = dict(NECK, cluster_embed='random')
    model = build(dict(backbone=BOTH), necks=(neck, ), **options)
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.parse_losses(model(inputs, mode='loss'))[0].backward()
        optimizer.step()
        with torch.no_grad():
            model.eval()(inputs)
        model.train()
    for key, value in model.state_dict().items():
        new = '.lora_' in key or key.startswith(
            ('backbone.necks.', 'video_projection.', 'head.'))
        assert torch.equal(value, before[key]) != new, key
    assert not any('.lora_' in key for key in before if key.startswith('text_'))


def test_adapters_learn_at_the_rate_of_new_layers(build):
    model = build()
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
        type='CLIPOptimWrapperConstructor', optim_wrapper_cfg=dict(
            optimizer=dict(type='AdamW', lr=1., weight_decay=0.2))))(model)
    groups = [(g['lr'], g['weight_decay'], len(g['params']))
              for g in wrapper.optimizer.param_groups]
    assert groups == [(1., 0.2, 2 * (3 + 2)), (1e-3, 0.2, 1)]  # and the scale


def test_pretrained_weights_go_under_the_adapters(retriever_cfg, tmp_path):
    cfg = retriever_cfg()
    cfg['head'] = dict(type='SequentialTransformerHead', embed_dims=16, num_layers=1,
                       num_heads=2, quick_gelu=False)
    cfg['arch']['text_cfg'].update(width=16)
    plain = MODELS.build(cfg)
    path = tmp_path / 'clip.pth'
    state = {k: v for k, v in plain.state_dict().items()
             if not k.startswith('head.') or k == 'head.logit_scale'}
    torch.save(state, path)
    model = MODELS.build(dict(cfg, pretrained=str(path), lora=LORA))
    model.init_weights()
    own = {key.replace('.base_layer', ''): value
           for key, value in model.state_dict().items()}
    assert all(torch.equal(own[key], value) for key, value in state.items())
    # A head that starts from the text tower does so too.
    block = 'transformer.resblocks.0.attn.in_proj_weight'
    assert torch.equal(own[f'head.{block}'], state[f'text_backbone.{block}'])
    assert not any(value.any() for key, value in own.items() if '.lora_B.' in key)


MAE = dict(type='VideoMAETower', img_size=32, patch_size=16, embed_dims=32, depth=3,
           num_heads=2, mlp_ratio=2, num_frames=4, qkv_bias=True)


def test_a_zoo_towers_initialisation_spares_the_adapters(retriever_cfg, inputs):
    """It fills all linear layers, and B would not be zero."""
    cfg = retriever_cfg(video_projection=True, lora=dict(
        backbone=dict(target_modules=['attn.proj', 'mlp.layers.1'])))
    cfg['backbone'] = MAE
    model = MODELS.build(cfg)
    model.init_weights()
    factors = {k: v for k, v in model.state_dict().items() if '.lora_' in k}
    assert len(factors) == 12
    assert all(v.any() == ('.lora_A.' in k) for k, v in factors.items())
    model(inputs, mode='loss')


@pytest.mark.parametrize('tower, lora', [
    (MAE, dict(target_modules=['attn.qkv'])),  # whose weight is read alone
    (None, dict(target_modules=['attn.out_proj'])),
    (None, dict(target_parameters=['out_proj.weight']))])
def test_adapters_without_an_effect_are_refused(retriever_cfg, inputs, tower, lora):
    cfg = retriever_cfg(video_projection=True, lora=dict(backbone=lora))
    cfg['backbone'] = tower or cfg['backbone']
    model = MODELS.build(cfg)
    with pytest.raises(InputError, match='3 of 3 adapters have no effect, .*0.attn.'):
        model(inputs, mode='loss')


@pytest.mark.parametrize('lora', [LORA, dict(backbone=BOTH)], ids=['attention', 'both'])
def test_gradients_with_a_neck_and_with_checkpointing(build, inputs, monkeypatch, lora):
    model = build(lora)
    other = copy.deepcopy(model)
    other.backbone.set_grad_checkpointing()
    plainly = copy.deepcopy(model)
    gradients = []
    for each in (model, other, plainly):
        if each is plainly:  # The MLP runs once, on all tokens.
            monkeypatch.setattr(type(each.backbone.necks[0]), 'after', TokenNeck.after)
        each.parse_losses(each(inputs, mode='loss'))[0].backward()
        gradients.append({name: p.grad for name, p in each.named_parameters()
                          if p.requires_grad})
    for name, gradient in gradients[0].items():
        for each in gradients[1:]:
            torch.testing.assert_close(each[name], gradient, rtol=1e-4, atol=1e-6)
        assert gradient.any(), name


def test_dropout_runs_a_block_once(build, inputs):
    """The tokens that a neck sees are those that go on."""
    model = build(dict(backbone=dict(MLP, lora_dropout=0.5)))
    seen = []
    model.backbone.tower_blocks()[0].mlp.register_forward_hook(
        lambda *_: seen.append(1))
    model(inputs, mode='loss')
    assert len(seen) == 1


@pytest.mark.parametrize('lora, message', [
    ([], r'lora must be a dict or None, got \[\]'),
    ({}, 'lora must be a dict'), (dict(head={}), "got {'head': {}}"),
    (dict(backbone=None), "got {'backbone': None}"),
    (dict(backbone=dict(rank=4)), r"backbone: the options are .* got \['rank'\]"),
    (dict(backbone=dict(r=0)), 'backbone: .*r must be a positive integer, got 0'),
    (dict(text_backbone=dict(lora_alpha='8')), "lora_alpha must be a number, got '8'"),
    (dict(backbone=dict(use_rslora='no')), "use_rslora must be True or False, got 'no"),
    (dict(backbone=dict(target_modules=['c_fc', 'q_proj'])),
     r"target_modules: the blocks have \['attn.out_proj', 'mlp.c_fc', 'mlp.c_proj'\], "
     "got 'q_proj'"),
    (dict(backbone=dict(target_parameters=['weight_in'])),
     r"target_parameters: the blocks have \['attn.in_proj_weight', .*got 'weight_in'"),
    (dict(backbone=dict(target_modules='all-linear')), r'must be a list \(a text\)'),
    (dict(backbone=dict(target_modules=['attn'])),
     r"MultiheadAttention, .*write target_parameters=\['attn.in_proj_weight'\]"),
    (dict(backbone=dict(lora_dropout=0.1)), 'peft refuses .*lora_dropout != 0'),
])
def test_bad_options_are_named(build_retriever, lora, message):
    with pytest.raises(InputError, match=message) as error:
        build_retriever(lora=lora)
    assert '\n' not in str(error.value)


def test_frozen_layers_are_no_option_beside_it(build_retriever):
    with pytest.raises(InputError, match='frozen_layers must be -1 or 0 .* got 2'):
        build_retriever(lora=LORA, frozen_layers=2)


def test_without_peft_one_line_says_what_to_install(build_retriever, monkeypatch):
    monkeypatch.setitem(sys.modules, 'peft', None)
    with pytest.raises(InputError, match=r"needs peft.*mmaction_centerclip\[peft\]'$"):
        build_retriever(lora=LORA)
    build_retriever()
