"""Options of heads: their defaults, and what is said of bad ones."""
import inspect

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError

from .head_cases import DIMS, HEADS, TRANSFORMERS, build, head_config, make_videos

INTEGERS = ('embed_dims', 'chunk_size', 'max_segments', 'max_positions')


def bad_options():
    for name in HEADS:
        accepted = inspect.signature(MODELS.get(name)).parameters
        integers = [option for option in INTEGERS if option in accepted]
        if name in TRANSFORMERS:
            integers += ['num_layers', 'num_heads']
        for option in integers:
            yield name, {option: 0}, f'{option} must be .*integer, got 0'
    for scale in ('4', True, float('nan'), float('inf')):
        yield ('MeanPoolingHead', dict(init_logit_scale=scale),
               f'init_logit_scale must be a .*number, got {scale!r}')
    yield ('TightTransformerHead', dict(init_logit_scale=14.3),
           'init_logit_scale must be the logarithm of a .* got 14.3')
    yield ('MeanPoolingHead', dict(init_logit_bias='-10'),
           "init_logit_bias must be a number or None, got '-10'")
    yield ('TightTransformerHead', dict(init_logit_bias=-1e4),
           'init_logit_bias must be from -1000 to 1000, got -10000.0')
    for name in TRANSFORMERS:
        yield name, dict(embed_dims=10, num_heads=4), 'got 4 heads for 10 dim'
        yield (name, dict(layer_norm_eps=0.0),
               'layer_norm_eps must be positive, got 0.0')
        yield (name, dict(init_position_std=-1.),
               'init_position_std must be at least 0, got -1.0')
    for value, message in ((1.0, 'at least 0 and below 1, got 1.0'),
                           ('0.1', "a number, got '0.1'")):
        yield ('TextConditionedPoolingHead', dict(dropout=value),
               f'dropout must be {message}')


def test_an_empty_loss_is_named():
    with pytest.raises(InputError, match='loss must be a config .* got {}'):
        MODELS.build(head_config('MeanPoolingHead', loss={}))


@pytest.mark.parametrize('name, options, message', list(bad_options()))
def test_bad_options_are_named(name, options, message):
    with pytest.raises(InputError, match=f'{name}: .*{message}'):
        MODELS.build(head_config(name, **options))


@pytest.mark.parametrize(
    'name', [name for name in HEADS if 'embed_dims' in head_config(name)])
def test_a_head_of_another_width_is_named(name, retriever_cfg):
    cfg = retriever_cfg()
    cfg['head'] = dict(type=name, embed_dims=24)
    with pytest.raises(InputError, match='embed_dims must be 16, .* got 24'):
        MODELS.build(cfg)


@pytest.mark.parametrize('name, options, message', [
    ('SequentialTransformerHead', dict(max_segments=4),
     'max_segments=4 is the most segments of a video, got 5'),
    ('TightTransformerHead', dict(max_positions=5),
     'max_positions=5 is room for a sentence and 4 segments .* got 5'),
])
def test_too_many_segments_are_named(name, options, message):
    videos = make_videos()
    with pytest.raises(InputError, match=message):
        build(name, **options).video_features(*videos)
    segments, mask = (x[:, :4] for x in videos)
    build(name, **options).video_features(segments, mask)


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_transformer_defaults_are_those_of_clip4clip(name):
    head = MODELS.build(dict(type=name, embed_dims=128))
    assert len(head.transformer.resblocks) == 4
    assert head.transformer.resblocks[0].attn.num_heads == 2
    assert head.position_embedding.shape == (77, 128)
    assert head.transformer.resblocks[3].ln_2.eps == 1e-5
    head = MODELS.build(dict(type=name, embed_dims=8, layer_norm_eps=1e-12))
    assert head.transformer.resblocks[0].attn.num_heads == 1
    norms = [m for m in head.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {1e-12}


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_positions_start_with_the_given_deviation(name):
    head = MODELS.build(dict(type=name, embed_dims=DIMS, init_position_std=2.0))
    assert head.position_embedding.std().item() == pytest.approx(2, rel=0.1)
