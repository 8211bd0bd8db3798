"""The contract that all heads keep."""
import pytest
import torch

from mmaction_centerclip.models import TextFeatures

from .head_cases import (
    DIMS,
    HEADS,
    PAIRWISE,
    build,
    make_texts,
    make_videos,
    similarity,
    total_loss,
)

ORDERED = ['SequentialLSTMHead', 'SequentialTransformerHead',
           'TightTransformerHead']


@pytest.fixture
def videos():
    return make_videos()


@pytest.fixture
def texts():
    return make_texts()


@pytest.fixture
def pairs(texts):
    """Four captions, each with a video."""
    return texts, [x[1:5].clone() for x in make_videos()]


@pytest.fixture(params=HEADS)
def name(request):
    return request.param


@pytest.fixture
def head(name):
    return build(name)


def test_contract(head, name, texts, videos):
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
def test_features_are_float32_under_autocast(head, texts, videos):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        features = dict(head.text_features(texts),
                        **head.video_features(*videos))
    for x in features.values():
        assert x.dtype in (torch.float32, torch.bool)


def test_padding_does_not_matter(head, texts, videos):
    segments, mask = videos
    expected = similarity(head, texts, videos)
    padding = ~mask & mask.any(dim=1, keepdim=True)
    changed = torch.where(padding[..., None], 9 * torch.randn(7, 5, DIMS),
                          segments)
    words = torch.where(texts[2][..., None], texts.words,
                        9 * torch.randn(4, 6, DIMS))
    torch.testing.assert_close(
        similarity(head, texts._replace(words=words), (changed, mask)),
        expected, atol=1e-6, rtol=1e-5)


def test_only_padding_counts_as_none(head, texts, videos):
    segments, mask = videos
    full = mask | ~mask.any(dim=1, keepdim=True)
    torch.testing.assert_close(
        similarity(head, texts, (segments, full)),
        similarity(head, texts, videos))


@pytest.mark.parametrize('rows, columns', [
    ([2], [5]), ([3, 0], [4, 1, 0]), ([0, 1, 2], [6])])
def test_a_subset_is_a_sub_matrix(head, rows, columns, texts, videos):
    part = similarity(head, TextFeatures(*(x[rows] for x in texts)),
                      [x[columns] for x in videos])
    torch.testing.assert_close(
        part, similarity(head, texts, videos)[rows][:, columns],
        atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('num_texts, num_videos', [(0, 3), (3, 0)])
def test_no_texts_or_no_videos(head, num_texts, num_videos, texts, videos):
    text, video = head.text_features(texts), head.video_features(*videos)
    out = head.similarity({k: x[:num_texts] for k, x in text.items()},
                          {k: x[:num_videos] for k, x in video.items()})
    assert out.shape == (num_texts, num_videos)


def test_order_of_segments(head, name, texts, videos):
    segments, mask = videos
    out = similarity(head, texts, videos)
    flipped = similarity(head, texts, (segments.flip(1), mask.flip(1)))
    if name in ORDERED:
        assert (out - flipped).abs().max() > 1e-3
    else:
        torch.testing.assert_close(out, flipped)


def test_state_dict_round_trip(head, name, texts, videos):
    other = build(name)
    other.load_state_dict(head.state_dict())
    assert torch.equal(
        similarity(head, texts, videos), similarity(other, texts, videos))


def test_gradients_reach_everything_trained(head, name, pairs):
    head.train()
    segments = pairs[1][0].requires_grad_()
    total_loss(head, *pairs).backward()
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


def test_a_frozen_scale_stays(name, pairs):
    head = build(name, freeze_logit_scale=True, init_logit_scale=2.5)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    loss = total_loss(head, *pairs)
    if loss.requires_grad:  # Mean pooling has nothing else to train.
        loss.backward()
        optimizer.step()
    assert head.logit_scale == 2.5 and not head.logit_scale.requires_grad
    assert head.loss(*pairs[1], pairs[0])['logit_scale'] == 2.5


def test_a_learned_bias_moves_the_logits_alone(name, texts, videos, pairs):
    plain = build(name)
    head = build(name, init_logit_bias=-10, loss=dict(type='SigmoidLoss'))
    assert head.state_dict().keys() - plain.state_dict().keys() == {'logit_bias'}
    head.load_state_dict(plain.state_dict(), strict=False)
    text, video = head.text_features(texts), head.video_features(*videos)
    assert torch.equal(head.similarity(text, video), plain.similarity(text, video))
    torch.testing.assert_close(
        head.logits(text, video), plain.logits(text, video) - 10)
    losses = head.loss(*pairs[1], pairs[0])
    assert losses['logit_bias'] == -10 and not losses['logit_bias'].requires_grad
    losses['loss_sigmoid'].backward()
    assert head.logit_bias.grad.any()


@pytest.mark.parametrize('chunk_size', [1, 3, 100])
@pytest.mark.parametrize('name', PAIRWISE)
def test_chunks_do_not_matter(head, chunk_size, texts, videos):
    expected = similarity(head, texts, videos)
    head.chunk_size = chunk_size
    torch.testing.assert_close(
        similarity(head, texts, videos), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize('name', PAIRWISE)
def test_gradients_do_not_depend_on_chunks(head, pairs):
    grads = []
    for chunk_size in (100, 1):
        head.chunk_size = chunk_size
        head.zero_grad()
        total_loss(head, *pairs).backward()
        grads.append({k: p.grad.clone() for k, p in head.named_parameters()
                      if p.requires_grad})
    torch.testing.assert_close(grads[1], grads[0], atol=1e-5, rtol=1e-4)
