import inspect

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TextFeatures
from mmaction_centerclip.models.heads import SimilarityHead

from ..paths import golden_files, load
from ..reference import heads as reference

HEADS = sorted(name for name, cls in MODELS.module_dict.items()
               if inspect.isclass(cls) and issubclass(cls, SimilarityHead))
SEQUENTIAL = ['SequentialLSTMHead', 'SequentialTransformerHead']
TRANSFORMERS = ['SequentialTransformerHead', 'TightTransformerHead']
PAIRWISE = [
    'TextConditionedPoolingHead', 'TightTransformerHead',
    'WeightedTokenInteractionHead'
]
DIMS = 16


def build(name, **options):
    accepted = inspect.signature(MODELS.get(name)).parameters
    own = dict(embed_dims=DIMS, num_layers=2, num_heads=2)
    own = {k: v for k, v in own.items() if k in accepted}
    head = MODELS.build(dict(own, type=name, **options)).eval()
    with torch.no_grad():
        # What starts as zero, one or the identity should not hide mistakes.
        for parameter in head.parameters():
            if parameter.ndim > 0:
                parameter += 0.1 * torch.randn_like(parameter)
    return head


@pytest.fixture
def videos():
    """Seven videos; padding in front, between, at the end, and only."""
    mask = torch.ones(7, 5, dtype=torch.bool)
    mask[1, 2:] = False
    mask[2, :2] = False
    mask[3, 1::2] = False
    mask[4] = False
    return torch.randn(7, 5, DIMS), mask


@pytest.fixture
def texts():
    words = torch.randn(4, 6, DIMS)
    lengths = torch.tensor([6, 3, 1, 4])
    sentence = words[torch.arange(4), lengths - 1]
    return TextFeatures(sentence, words,
                        torch.arange(6) < lengths[:, None])


@torch.no_grad()
def similarity(head, texts, videos):
    return head.similarity(
        head.text_features(texts), head.video_features(*videos))


def golden_head(data, layer_norm_eps):
    """The head of a golden file with its weights."""
    name = {
        'meanP': 'MeanPoolingHead',
        'seqLSTM': 'SequentialLSTMHead',
        'seqTransf': 'SequentialTransformerHead',
        'tightTransf': 'TightTransformerHead'
    }[data['head']]
    options = dict(
        embed_dims=data['frame_features'].shape[-1],
        num_layers=data['num_layers'],
        num_heads=data['num_heads'],
        layer_norm_eps=layer_norm_eps,
        max_segments=20,
        max_positions=20)
    accepted = inspect.signature(MODELS.get(name)).parameters
    head = MODELS.build(
        dict({k: v for k, v in options.items() if k in accepted}, type=name,
             init_logit_scale=data['logit_scale']))
    state = dict(logit_scale=torch.tensor(data['logit_scale']))
    for key, value in data.items():
        if not key.startswith('sd/'):
            continue
        key = key[3:]
        for theirs, ours in (
            ('frame_position_embeddings.weight', 'position_embedding'),
            ('cross.embeddings.position_embeddings.weight',
             'position_embedding'), ('transformerClip.', 'transformer.'),
            ('lstm_visual.', 'lstm.'), ('cross.transformer.', 'transformer.'),
            ('cross.pooler.', '')):
            key = key.replace(theirs, ours)
        state[key] = torch.from_numpy(value)
    if data['head'] == 'seqLSTM':
        # Not used there either.
        del state['position_embedding']
    head.load_state_dict(state)
    return head.eval()


def golden_cases():
    for path in golden_files('heads_*.npz'):
        for eps, key in ((1e-12, 'logits'), (1e-5, 'logits_ln_eps_1e5')):
            if key in load(path):
                yield pytest.param(path, eps, key, id=f'{path.stem} {key}')


@torch.no_grad()
@pytest.mark.parametrize('path, layer_norm_eps, key', list(golden_cases()))
def test_golden(path, layer_norm_eps, key):
    data = load(path)
    head = golden_head(data, layer_norm_eps)
    sentence = torch.from_numpy(data['sentence_features'])
    text = head.text_features(
        TextFeatures(sentence, sentence[:, None],
                     torch.ones(len(sentence), 1).bool()))
    video = head.video_features(
        torch.from_numpy(data['frame_features']),
        torch.from_numpy(data['video_mask']).bool())
    logits = head.logits(text, video)
    torch.testing.assert_close(
        logits, torch.from_numpy(data[key]), atol=1e-3, rtol=0)


@pytest.mark.parametrize('name', HEADS)
def test_contract(name, texts, videos):
    head = build(name)
    text, video = head.text_features(texts), head.video_features(*videos)
    assert not text.keys() & video.keys()
    for features, count in ((text, 4), (video, 7)):
        for x in features.values():
            assert len(x) == count and x.dtype in (torch.float32, torch.bool)
    out = head.similarity(text, video)
    assert out.shape == (4, 7) and out.isfinite().all()
    assert head.separable == (name not in PAIRWISE)
    if head.separable:
        torch.testing.assert_close(out, text['text'] @ video['video'].T)
    scale = 1 if name == 'TightTransformerHead' else head.logit_scale.exp()
    torch.testing.assert_close(head.logits(text, video), scale * out)
    # Without gradients torch takes other kernels.
    again = similarity(head, texts, videos)
    torch.testing.assert_close(again, out, atol=1e-5, rtol=1e-5)
    assert torch.equal(similarity(head, texts, videos), again)


@torch.no_grad()
@pytest.mark.parametrize('name', HEADS)
def test_features_are_float32_under_autocast(name, texts, videos):
    head = build(name)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        features = dict(head.text_features(texts),
                        **head.video_features(*videos))
    for x in features.values():
        assert x.dtype in (torch.float32, torch.bool)


@pytest.mark.parametrize('name', HEADS)
def test_padding_does_not_matter(name, texts, videos):
    head = build(name)
    segments, mask = videos
    expected = similarity(head, texts, videos)
    padding = ~mask & mask.any(dim=1, keepdim=True)
    changed = torch.where(padding[..., None], 9 * torch.randn(7, 5, DIMS),
                          segments)
    words = torch.where(texts.mask[..., None], texts.words,
                        9 * torch.randn(4, 6, DIMS))
    torch.testing.assert_close(
        similarity(head, texts._replace(words=words), (changed, mask)),
        expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('name', HEADS)
def test_only_padding_counts_as_none(name, texts, videos):
    head = build(name)
    segments, mask = videos
    full = mask | ~mask.any(dim=1, keepdim=True)
    torch.testing.assert_close(
        similarity(head, texts, (segments, full)),
        similarity(head, texts, videos))


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('rows, columns', [
    ([2], [5]), ([3, 0], [4, 1, 0]), ([0, 1, 2], [6])])
def test_a_subset_is_a_sub_matrix(name, rows, columns, texts, videos):
    head = build(name)
    part = similarity(head, TextFeatures(*(x[rows] for x in texts)),
                      [x[columns] for x in videos])
    torch.testing.assert_close(
        part, similarity(head, texts, videos)[rows][:, columns],
        atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('num_texts, num_videos', [(0, 3), (3, 0)])
def test_no_texts_or_no_videos(name, num_texts, num_videos, texts, videos):
    head = build(name)
    text, video = head.text_features(texts), head.video_features(*videos)
    out = head.similarity({k: x[:num_texts] for k, x in text.items()},
                          {k: x[:num_videos] for k, x in video.items()})
    assert out.shape == (num_texts, num_videos)


@pytest.mark.parametrize('chunk_size', [1, 3, 100])
@pytest.mark.parametrize('name', PAIRWISE)
def test_chunks_do_not_matter(name, chunk_size, texts, videos):
    head = build(name)
    expected = similarity(head, texts, videos)
    head.chunk_size = chunk_size
    torch.testing.assert_close(
        similarity(head, texts, videos), expected, atol=1e-6, rtol=0)


def test_token_interaction_against_loops(texts, videos):
    head = build('WeightedTokenInteractionHead')
    expected = [[
        reference.token_interaction(head, words, mask, *video)
        for video in zip(*videos)
    ] for words, mask in zip(texts.words, texts.mask)]
    torch.testing.assert_close(
        similarity(head, texts, videos), torch.tensor(expected))


def test_text_conditioned_pooling_against_loops(texts, videos):
    head = build('TextConditionedPoolingHead')
    expected = [[
        reference.text_conditioned_pooling(head, sentence, *video)
        for video in zip(*videos)
    ] for sentence in texts.sentence]
    torch.testing.assert_close(
        similarity(head, texts, videos), torch.tensor(expected))


def test_token_weights_are_a_distribution(texts, videos):
    head = build('WeightedTokenInteractionHead')
    for weights, mask in (
        (head.text_features(texts)['word_weights'], texts.mask),
        (head.video_features(*videos)['segment_weights'], videos[1])):
        torch.testing.assert_close(weights.sum(dim=1),
                                   torch.ones(len(weights)))
        some = mask.any(dim=1)
        assert torch.equal(weights[some] > 0, mask[some])


def test_text_conditioned_pooling_starts_as_the_identity():
    head = MODELS.build(
        dict(type='TextConditionedPoolingHead', embed_dims=4))
    for layer in (head.query, head.key, head.value, head.projection,
                  head.dense):
        assert torch.equal(layer.weight, torch.eye(4))
        assert not layer.bias.any()
    assert head.dropout.p == 0.3


def test_text_conditioned_pooling_drops_out_in_training(texts, videos):
    head = build('TextConditionedPoolingHead').train()
    assert not torch.equal(
        similarity(head, texts, videos), similarity(head, texts, videos))


@pytest.mark.parametrize('name', HEADS)
def test_order_of_segments(name, texts, videos):
    head = build(name)
    segments, mask = videos
    out = similarity(head, texts, videos)
    flipped = similarity(head, texts, (segments.flip(1), mask.flip(1)))
    if name in SEQUENTIAL + ['TightTransformerHead']:
        assert (out - flipped).abs().max() > 1e-3
    else:
        torch.testing.assert_close(out, flipped)


def test_the_lstm_reads_the_valid_segments_in_their_order(texts, videos):
    head = build('SequentialLSTMHead')
    segments, mask = videos
    expected = [
        head.video_features(x[real][None] if real.any() else x[None],
                            torch.ones(1, real.sum() or 5).bool())['video']
        for x, real in zip(segments, mask)
    ]
    torch.testing.assert_close(
        head.video_features(segments, mask)['video'], torch.cat(expected))


@pytest.mark.parametrize('name', HEADS)
def test_gradients_reach_everything_trained(name, texts, videos):
    head = build(name).train()
    segments, mask = (x[1:5].clone() for x in videos)
    segments.requires_grad_()
    sum(v for k, v in head.loss(segments, mask, texts).items()
        if k.startswith('loss')).backward()
    assert segments.grad.isfinite().all() and segments.grad.any()
    # A softmax does not see what is added to all of its logits.
    silent = {'word_weight.2.bias', 'segment_weight.2.bias', 'key.bias',
              'similarity_dense.bias'}
    for key, parameter in head.named_parameters():
        if key == 'logit_scale' and name == 'TightTransformerHead':
            assert not parameter.requires_grad
            continue
        assert parameter.requires_grad and parameter.grad.isfinite().all()
        assert key in silent or parameter.grad.any(), key


@pytest.mark.parametrize('name', HEADS)
def test_a_frozen_scale_stays(name, texts, videos):
    head = build(name, freeze_logit_scale=True, init_logit_scale=2.5)
    segments, mask = (x[1:5] for x in videos)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    losses = head.loss(segments, mask, texts)
    if losses['loss_t2v'].requires_grad:  # Mean pooling has nothing else.
        (losses['loss_t2v'] + losses['loss_v2t']).backward()
        optimizer.step()
    assert head.logit_scale.item() == losses['logit_scale'] == 2.5


@pytest.mark.parametrize('name', PAIRWISE)
def test_gradients_do_not_depend_on_chunks(name, texts, videos):
    head = build(name)
    grads = []
    for chunk_size in (100, 1):
        head.chunk_size = chunk_size
        head.zero_grad()
        losses = head.loss(*(x[1:5] for x in videos), texts)
        (losses['loss_t2v'] + losses['loss_v2t']).backward()
        grads.append({k: p.grad.clone() for k, p in head.named_parameters()
                      if p.requires_grad})
    torch.testing.assert_close(grads[1], grads[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('name', HEADS)
def test_state_dict_round_trip(name, texts, videos):
    head, other = build(name), build(name)
    other.load_state_dict(head.state_dict())
    assert torch.equal(
        similarity(head, texts, videos), similarity(other, texts, videos))


def bad_options():
    for name in HEADS:
        accepted = inspect.signature(MODELS.get(name)).parameters
        for option in ('embed_dims', 'num_layers', 'num_heads', 'chunk_size',
                       'max_segments', 'max_positions'):
            if option in accepted:
                yield name, {option: 0}, f'{option} must be .*integer, got 0'
    for name in TRANSFORMERS:
        yield name, dict(embed_dims=10, num_heads=4), 'got 4 heads for 10 dim'
        yield (name, dict(layer_norm_eps=0.0),
               'layer_norm_eps must be positive, got 0.0')
    yield ('SequentialTransformerHead', dict(init_position_std=-1.),
           'init_position_std must not be negative, got -1.0')
    yield ('TextConditionedPoolingHead', dict(dropout=1.0),
           'dropout must be at least 0 and below 1, got 1.0')


@pytest.mark.parametrize('name, options, message', list(bad_options()))
def test_bad_options_are_named(name, options, message):
    with pytest.raises(InputError, match=f'{name}: .*{message}'):
        MODELS.build(dict(dict(type=name, embed_dims=DIMS), **options))


@pytest.mark.parametrize('name', HEADS)
def test_a_head_of_another_width_is_named(name, retriever_cfg):
    if name == 'MeanPoolingHead':
        pytest.skip('takes any width')
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
def test_too_many_segments_are_named(name, options, message, videos):
    with pytest.raises(InputError, match=message):
        build(name, **options).video_features(*videos)
    segments, mask = (x[:, :4] for x in videos)
    build(name, **options).video_features(segments, mask)
