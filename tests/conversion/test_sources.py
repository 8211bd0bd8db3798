import copy

import pytest
import torch
from mmaction.registry import MODELS
from open_clip.factory import load_checkpoint
from open_clip.model import CLIP, CustomTextCLIP

from mmaction_centerclip.conversion import (
    convert_state,
    detect_sources,
    infer_arch,
    infer_head,
    to_open_clip,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import init_options

from ..reference.reduced_arch import reduced_arch


@pytest.fixture
def state():
    """A CLIP's weights, two blocks of width 64 in vision and three in text."""
    return CLIP(
        16, dict(image_size=48, patch_size=16, width=64, layers=2, mlp_ratio=2.),
        dict(context_length=9, vocab_size=50, width=128, heads=2, layers=3)
    ).state_dict()


CLIP_KEYS = ['clip.visual.conv1.weight', 'clip.text_projection']


@pytest.mark.parametrize('keys, found', [
    (['visual.conv1.weight'], ['openai']),
    (['vision_model.post_layernorm.bias'], ['huggingface']),
    # Without a head's own weights nothing tells these two apart.
    (CLIP_KEYS, ['clip4clip', 'clipsimilarity']),
    ([*CLIP_KEYS, 'adapter.positional_embedding'], ['clipsimilarity']),
    ([*CLIP_KEYS, 'lstm_visual.weight_ih_l0'], ['clip4clip']),
    ([*CLIP_KEYS, 'clip.visual.transformer.resblocks.6.tokencluster_inter.'
      'cluster_embed'], ['clip4clip']),
])
def test_sources_are_told_by_their_keys(keys, found):
    assert detect_sources(keys) == found


def test_weights_that_make_no_clip_are_named():
    with pytest.raises(InputError, match=r"first keys are \['bias', 'weight'\]"):
        detect_sources(['weight', 'bias'])
    with pytest.raises(InputError, match='is a ResNet'):
        detect_sources([*CLIP_KEYS, 'clip.visual.layer1.0.conv1.weight'])
    with pytest.raises(InputError, match='no conversion: .* model.pretrained'):
        detect_sources(['visual.trunk.cls_token', 'text.positional_embedding'])


def test_converting_there_and_back_gives_the_same(state):
    weights, unused, embeddings = convert_state(state, 'openai')
    assert unused == [] and embeddings == {}
    back, dropped = to_open_clip({**weights, 'head.lstm.bias': torch.ones(1),
                                  'backbone.necks.0.cluster_embed': torch.ones(1)})
    assert dropped == ['head.lstm.bias', 'backbone.necks.0.cluster_embed']
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)
    back, dropped = to_open_clip({**weights, 'head.logit_bias': torch.tensor(-9.)})
    assert back['logit_bias'] == -9 and dropped == []


def test_three_dimensional_patches_do_not_go_back(state):
    weights, _, _ = convert_state(
        {**state, 'visual.conv2.weight': torch.ones(1)}, 'openai')
    with pytest.raises(InputError, match='3-D patches'):
        to_open_clip(weights)


def test_leftovers_and_embeddings_are_told_apart(state):
    clip = {f'clip.{key}': value.half() for key, value in state.items()}
    place = 'clip.visual.transformer.resblocks.1.tokencluster_inter.cluster_embed'
    weights, unused, embeddings = convert_state(
        {**clip, 'clip.visual.position_ids': torch.arange(3),
         'frame_position_embeddings.weight': torch.ones(2, 16),
         place: torch.ones(5, 64).half()}, 'clip4clip')
    assert unused == ['frame_position_embeddings.weight', 'visual.position_ids']
    assert {block: (x.shape, x.dtype) for block, x in embeddings.items()} == {
        2: ((5, 64), torch.float32)}
    assert len(weights) == len(state)
    assert {x.dtype for x in weights.values()} == {torch.float32}


def test_tempmes_adapters_are_added_to_what_they_adapt(state):
    own = 'transformer.resblocks.1.attn.'
    visual = {f'visual.{own}TVPt_LoRA_a': torch.randn(2, 64),
              f'visual.{own}TVPt_LoRA_b': torch.randn(192, 2)}
    text = {f'{own}TVPt_LoRA_a': torch.randn(2, 128),
            f'{own}TVPt_LoRA_b': torch.randn(384, 2)}
    places = torch.randn(1, 8, 1, 64)
    before = {key: x.clone() for key, x in state.items()}
    weights, unused, embeddings = convert_state({
        **state, **visual, **text,
        'visual.transformer.resblocks.1.TVPt_Video_Positional_embedding': places},
        'openai')
    assert unused == [] and list(embeddings) == [2]
    assert torch.equal(embeddings[2], places)
    for tower, start, factors in (('backbone', 'visual.', visual),
                                  ('text_backbone', '', text)):
        a, b = factors.values()
        torch.testing.assert_close(weights[f'{tower}.{own}in_proj_weight'],
                                   before[f'{start}{own}in_proj_weight'] + b @ a)
    with pytest.raises(InputError, match='lack .*resblocks.1.attn.TVPt_LoRA_a, but ha'):
        convert_state({**state, f'{own}TVPt_LoRA_b': text[f'{own}TVPt_LoRA_b']},
                      'openai')


def test_sizes_are_those_of_the_weights(state):
    weights, _, _ = convert_state(state, 'openai')
    assert infer_arch(weights, quick_gelu=False, head_width=32) == dict(
        embed_dim=16, quick_gelu=False,
        vision_cfg=dict(image_size=48, patch_size=16, width=64, layers=2,
                        head_width=32, mlp_ratio=2.),
        text_cfg=dict(context_length=9, vocab_size=50, width=128, heads=2,
                      layers=3, mlp_ratio=4.))


@pytest.mark.parametrize('change, message', [
    (lambda x: x.pop('backbone.proj'), "lack 'backbone.proj', which tells a size"),
    (lambda x: x.update({'backbone.positional_embedding': torch.ones(9, 64)}),
     'a square grid, got 9 positions'),
    (lambda x: x.update({'text_backbone.positional_embedding': torch.ones(9, 96)}),
     'head, 64, must divide the text width 96'),
])
def test_sizes_that_do_not_fit_are_named(state, change, message):
    weights, _, _ = convert_state(state, 'openai')
    change(weights)
    with pytest.raises(InputError, match=message):
        infer_arch(weights)


@pytest.mark.parametrize('keys, head', [
    ({}, dict(type='MeanPoolingHead')),
    ({'lstm_visual.bias_ih_l0': (64, ),
      'frame_position_embeddings.weight': (20, 16)},
     dict(type='SequentialLSTMHead', embed_dims=16)),
    ({'transformerClip.resblocks.0.ln_1.bias': (16, ),
      'transformerClip.resblocks.1.ln_1.bias': (16, ),
      'frame_position_embeddings.weight': (20, 16)},
     dict(type='SequentialTransformerHead', embed_dims=16, num_layers=2,
          max_segments=20, layer_norm_eps=1e-5)),
    ({'cross.transformer.resblocks.0.ln_1.bias': (16, ),
      'cross.embeddings.position_embeddings.weight': (30, 16)},
     dict(type='TightTransformerHead', embed_dims=16, num_layers=1,
          max_positions=30, layer_norm_eps=1e-5)),
], ids=['meanP', 'seqLSTM', 'seqTransf', 'tightTransf'])
def test_the_head_is_told_by_its_weights(keys, head):
    state = {'clip.text_projection': torch.ones(64, 16),
             **{key: torch.ones(shape) for key, shape in keys.items()}}
    assert infer_head(state, 1e-5) == head


@pytest.mark.parametrize('kind, required', [
    ('TokenClustering', True), ('SparseTokenSampling', True),
    ('SegmentMeanPooling', None), ('TokenShift', None)])
def test_options_of_a_class_and_of_its_bases_are_found(kind, required):
    options = init_options(MODELS.get(kind))
    parameter = options.get('num_centers')
    assert (parameter is not None) == bool(required)
    if required:
        assert parameter.default is parameter.empty
    assert 'before_block' in options


@torch.no_grad()
@pytest.mark.parametrize('name', [
    'ViT-B-32', 'ViT-B-16-SigLIP', 'ViT-SO400M-16-SigLIP-i18n-256', 'PE-Core-B-16',
    'EVA02-B-16', 'vit_medium_patch16_gap_256'])
def test_open_clip_loads_them_strictly(name, tmp_path):
    arch = reduced_arch(name)
    ours = MODELS.build(dict(
        type='VideoTextRetriever', arch=arch, backbone=dict(type='OpenCLIPVisionTower'),
        text_backbone=dict(type='CLIPTextTower'),
        head=dict(type='MeanPoolingHead'))).eval()
    ours.head.logit_bias = torch.nn.Parameter(torch.tensor(-3.))
    state, dropped = to_open_clip(ours.state_dict())
    assert dropped == []
    config = copy.deepcopy(arch)
    cls = CustomTextCLIP if config.pop('custom_text', False) else CLIP
    theirs = cls(**{**config, 'init_logit_bias': -10}).eval()
    path = str(tmp_path / 'open_clip_model.pt')
    torch.save(state, path)
    load_checkpoint(theirs, path)
    imgs = torch.randn(1, 2, 3, *ours.backbone.image_size)
    text = torch.randint(2, 9, (2, ours.text_backbone.context_length))
    assert torch.equal(ours.backbone.encode(imgs)[0][0], theirs.encode_image(imgs[0]))
    assert torch.equal(ours.text_backbone(text).sentence, theirs.encode_text(text))
    assert theirs.logit_bias.item() == -3
