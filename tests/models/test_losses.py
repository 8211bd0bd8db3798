import math
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS
from open_clip.loss import SigLipLoss
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.ops import repeated_pairs

LOSSES = ['SymmetricInfoNCELoss', 'DualSoftmaxLoss']


def slow_softmax(scores):
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def competes(i, j, pairs):
    """Return True if the caption of pair i and the video of pair j are compared."""
    return i == j or not any(a == b for a, b in zip(pairs[i], pairs[j]))


def slow_infonce(logits, smoothing=0.0, pairs=None):
    """Mean over rows of the cross entropy with a smoothed target."""
    count, total = len(logits), 0
    pairs = pairs or [(i, i) for i in range(count)]
    for i, row in enumerate(logits):
        rivals = [j for j in range(count) if competes(i, j, pairs)]
        for j, probability in zip(rivals, slow_softmax([row[j] for j in rivals])):
            target = smoothing / len(rivals) + (1 - smoothing) * (i == j)
            total -= target * math.log(probability)
    return total / count


def slow_dual_softmax(logits, temperature, smoothing=0.0, pairs=None):
    count = len(logits)
    everyone = pairs or [(i, i) for i in range(count)]
    revised = [[None] * count for _ in range(count)]
    for j in range(count):
        rivals = [i for i in range(count) if competes(i, j, everyone)]
        prior = slow_softmax([temperature * logits[i][j] for i in rivals])
        for i, share in zip(rivals, prior):
            revised[i][j] = logits[i][j] * share * len(rivals)
    return slow_infonce(revised, smoothing, pairs)


def slow_sigmoid(logits, pairs=None):
    """A sum over all combinations, of which one a row is a pair."""
    total, pairs = 0, pairs or [(i, i) for i in range(len(logits))]
    for i, row in enumerate(logits):
        for j, logit in enumerate(row):
            if competes(i, j, pairs):
                total += math.log(1 + math.exp(-logit if i == j else logit))
    return total / len(logits)


@pytest.fixture
def logits():
    return 2 * torch.randn(6, 6)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.9])
def test_label_smoothing(logits, smoothing):
    loss = MODELS.build(dict(
        type='SymmetricInfoNCELoss', label_smoothing=smoothing,
        loss_weight=3.0))
    out = loss(logits)
    assert out['loss_t2v'].item() == pytest.approx(
        1.5 * slow_infonce(logits.tolist(), smoothing), rel=1e-5)
    assert out['loss_v2t'].item() == pytest.approx(
        1.5 * slow_infonce(logits.T.tolist(), smoothing), rel=1e-5)


@pytest.mark.parametrize('temperature', [0.05, 1.0, 2.0])
@pytest.mark.parametrize('smoothing', [0.0, 0.2])
def test_dual_softmax(logits, temperature, smoothing):
    loss = MODELS.build(dict(
        type='DualSoftmaxLoss', temperature=temperature,
        label_smoothing=smoothing, loss_weight=0.5))
    out = loss(logits)
    assert out['loss_t2v'].item() == pytest.approx(
        0.25 * slow_dual_softmax(logits.tolist(), temperature, smoothing),
        rel=1e-4)
    assert out['loss_v2t'].item() == pytest.approx(
        0.25 * slow_dual_softmax(logits.T.tolist(), temperature, smoothing),
        rel=1e-4)


def test_dual_softmax_with_a_flat_prior_is_infonce(logits):
    plain = MODELS.build(dict(type='SymmetricInfoNCELoss'))(logits)
    dual = MODELS.build(
        dict(type='DualSoftmaxLoss', temperature=1e-7))(logits)
    torch.testing.assert_close(dual, plain)


@pytest.mark.parametrize('count', [2, 6])
@pytest.mark.parametrize('bias', [0, -10])
def test_sigmoid(bias, count):
    logits = 10 * F.normalize(torch.randn(count, count)) + bias
    loss = MODELS.build(dict(type='SigmoidLoss', loss_weight=0.5))
    for scores in (logits, logits.T):
        assert loss(scores)['loss_sigmoid'].item() == pytest.approx(
            0.5 * slow_sigmoid(scores.tolist()), rel=1e-5)


def test_sigmoid_is_open_clips():
    text, video = F.normalize(torch.randn(2, 5, 8), dim=-1)
    ours = MODELS.build(dict(type='SigmoidLoss'))(10 * text @ video.T - 3)
    theirs = SigLipLoss()(video, text, logit_scale=10, logit_bias=-3)
    torch.testing.assert_close(ours['loss_sigmoid'], theirs)


PAIRS = [
    [('a', 0), ('b', 1), ('a', 2), ('c', 1), ('d', 4), ('a', 5)],  # some repeat
    [('a', 0), ('a', 1), ('a', 2), ('b', 2), ('b', 0), ('b', 1)],
    [('a', i) for i in range(6)],  # all of one video: nothing is left to tell
]
KINDS = [
    (dict(type='SymmetricInfoNCELoss'), slow_infonce, 0.5),
    (dict(type='SymmetricInfoNCELoss', label_smoothing=0.3),
     partial(slow_infonce, smoothing=0.3), 0.5),
    (dict(type='DualSoftmaxLoss', temperature=1.0),
     partial(slow_dual_softmax, temperature=1.0), 0.5),
    (dict(type='DualSoftmaxLoss', temperature=0.2, label_smoothing=0.3),
     partial(slow_dual_softmax, temperature=0.2, smoothing=0.3), 0.5),
    (dict(type='SigmoidLoss'), slow_sigmoid, 1.0),
]


def repeats_of(pairs):
    names = sorted({name for name, _ in pairs})
    return repeated_pairs(torch.tensor([[names.index(a), b] for a, b in pairs]))


@pytest.mark.parametrize('config, slow, weight', KINDS)
@pytest.mark.parametrize('pairs', PAIRS)
def test_repeats_are_no_negatives(logits, config, slow, weight, pairs):
    logits.requires_grad_()
    repeats = repeats_of(pairs)
    terms = MODELS.build(config)(logits, repeats)
    for name, term in terms.items():
        rows = (logits.T if name == 'loss_v2t' else logits).tolist()
        assert term.item() == pytest.approx(
            weight * slow(rows, pairs=pairs), rel=1e-4, abs=1e-6)
    sum(terms.values()).backward()
    assert logits.grad.isfinite().all() and not logits.grad[repeats].any()
    if pairs is not PAIRS[2]:
        assert logits.grad[~repeats].all()


@pytest.mark.parametrize('config', [kind[0] for kind in KINDS])
def test_without_repeats_a_loss_is_the_same_to_the_bit(config):
    logits = 10 * torch.randn(16, 16)
    loss, results = MODELS.build(config), []
    unlike = repeated_pairs(torch.arange(32).view(16, 2))
    for arguments in ((), (unlike, )):
        scores = logits.clone().requires_grad_()
        terms = loss(scores, *arguments)
        sum(terms.values()).backward()
        results.append([*terms.values(), scores.grad])
    assert not unlike.any()
    for plain, masked in zip(*results, strict=True):
        assert torch.equal(plain, masked)


@pytest.mark.parametrize('name', LOSSES)
def test_transposing_swaps_the_directions(logits, name):
    loss = MODELS.build(dict(type=name, label_smoothing=0.1))
    out, swapped = loss(logits), loss(logits.T)
    torch.testing.assert_close(out['loss_t2v'], swapped['loss_v2t'])
    torch.testing.assert_close(out['loss_v2t'], swapped['loss_t2v'])


@pytest.mark.parametrize('name', [*LOSSES, 'SigmoidLoss'])
def test_large_logits_and_gradients_are_finite(name):
    logits = (100 * F.normalize(torch.randn(5, 5))).requires_grad_()
    sum(MODELS.build(dict(type=name))(logits).values()).backward()
    assert logits.grad.isfinite().all() and logits.grad.any()


@pytest.mark.parametrize('name, option, value, expected', [
    *((name, *case) for name in LOSSES for case in (
        ('label_smoothing', -0.1, 'at least 0 and below 1'),
        ('label_smoothing', 1.0, 'at least 0 and below 1'),
        ('label_smoothing', '0.1', 'a number'),
        ('loss_weight', -1, 'at least 0'),
        ('loss_weight', float('inf'), 'a finite number'))),
    ('DualSoftmaxLoss', 'temperature', 0, 'positive'),
    ('DualSoftmaxLoss', 'temperature', -1.0, 'positive'),
    ('DualSoftmaxLoss', 'temperature', '1', 'a number'),
    ('SigmoidLoss', 'loss_weight', -1, 'at least 0'),
    ('SigmoidLoss', 'loss_weight', float('nan'), 'a finite number'),
])
def test_bad_options_are_named(name, option, value, expected):
    with pytest.raises(InputError) as error:
        MODELS.build({'type': name, option: value})
    assert str(error.value) == (
        f'{name}: {option} must be {expected}, got {value!r}')
