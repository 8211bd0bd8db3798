"""Heads against golden arrays, and against plain loops."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.models import TextFeatures

from ..paths import golden_files, load
from ..reference import heads as reference
from .head_cases import build, make_texts, make_videos, similarity

# Of each golden head: its class, and the parts of its state dict's keys that
# are called otherwise there.
GOLDEN = {
    'meanP': ('MeanPoolingHead', {}),
    'seqLSTM': ('SequentialLSTMHead', {'lstm_visual.': 'lstm.'}),
    'seqTransf': ('SequentialTransformerHead', {
        'frame_position_embeddings.weight': 'position_embedding',
        'transformerClip.': 'transformer.'}),
    'tightTransf': ('TightTransformerHead', {
        'cross.embeddings.position_embeddings.weight': 'position_embedding',
        'cross.transformer.': 'transformer.', 'cross.pooler.': ''}),
}


def golden_head(data, layer_norm_eps):
    """The head of a golden file with its weights."""
    name, renamed = GOLDEN[data['head']]
    options = {}
    if name != 'MeanPoolingHead':
        options.update(embed_dims=data['frame_features'].shape[-1])
    if 'Transformer' in name:
        longest = 'max_segments' if 'Seq' in name else 'max_positions'
        options.update(
            {longest: 20}, layer_norm_eps=layer_norm_eps,
            num_layers=data['num_layers'], num_heads=data['num_heads'])
    head = MODELS.build(dict(
        type=name, init_logit_scale=data['logit_scale'], **options))
    state = dict(logit_scale=torch.tensor(data['logit_scale']))
    for key, value in data.items():
        if key.startswith('sd/'):
            key = key[3:]
            for theirs, ours in renamed.items():
                key = key.replace(theirs, ours)
            state[key] = torch.from_numpy(value)
    # Their LSTM has a table of positions, but does not use it.
    state.pop('frame_position_embeddings.weight', None)
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


def attention_over_similarities(head, sentence, segments, segment_mask):
    cosines = [reference.cosine(sentence.tolist(), segment)
               for segment in reference.kept(segments, segment_mask)]
    weights = reference.softmax([cosine / 0.1 for cosine in cosines])
    return reference.dot(weights, cosines)


@pytest.mark.parametrize('name, oracle, fields', [
    ('SimilarityAttentionHead', attention_over_similarities, (0, )),
    ('WeightedTokenInteractionHead', reference.token_interaction, (1, 2)),
    ('TextConditionedPoolingHead', reference.text_conditioned_pooling, (0, )),
])
def test_against_loops(name, oracle, fields):
    head, texts, videos = build(name), make_texts(), make_videos()
    expected = [[oracle(head, *text, *video) for video in zip(*videos)]
                for text in zip(*(texts[i] for i in fields))]
    torch.testing.assert_close(
        similarity(head, texts, videos), torch.tensor(expected))


def test_the_lstm_reads_the_valid_segments_in_their_order():
    head = build('SequentialLSTMHead')
    segments, mask = make_videos()
    expected = [
        head.video_features(x[real][None] if real.any() else x[None],
                            torch.ones(1, real.sum() or 5).bool())['video']
        for x, real in zip(segments, mask)
    ]
    torch.testing.assert_close(
        head.video_features(segments, mask)['video'], torch.cat(expected))


def test_token_weights_are_a_distribution():
    head = build('WeightedTokenInteractionHead')
    texts, videos = make_texts(), make_videos()
    for weights, mask in (
        (head.text_features(texts)['word_weights'], texts[2]),
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


def test_text_conditioned_pooling_drops_out_in_training():
    head = build('TextConditionedPoolingHead').train()
    texts, videos = make_texts(), make_videos()
    assert not torch.equal(
        similarity(head, texts, videos), similarity(head, texts, videos))
