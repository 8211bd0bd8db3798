"""Each reducer alone: what it keeps, merges and leaves."""
import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens
from mmaction_centerclip.ops import (
    agglomerative,
    density_peaks,
    merge,
    norms,
    novelty,
    similarity_to,
)

CENTERS = dict(before_block=1, num_segments=2, num_centers=5)
MERGING = {
    'DensityPeakClustering': lambda x, count, frames: density_peaks(x, count),
    'AgglomerativeClustering': lambda x, count, frames: agglomerative(x, count),
}
DROPPING = ('RandomTokenDrop', 'NormTokenDrop', 'ClassSimilarityTokenDrop',
            'DuplicateTokenDrop')
WITHOUT_MASKS = ('RandomTokenDrop', 'SparseTokenSampling', 'SpectralTokenClustering')


def build(name, **options):
    return MODELS.build(dict(CENTERS, type=name, **options))


def video_tokens(batch=3, frames=4, patches=6, **fields):
    return VideoTokens.of_parts(torch.randn(batch, frames, 1, 8),
                       torch.randn(batch, frames, patches, 8), **fields)


@pytest.mark.parametrize('name', MERGING)
@pytest.mark.parametrize('aggregation', ['mean', 'medoid'])
def test_merges_what_its_operation_says(name, aggregation):
    tokens = video_tokens(size=torch.randint(1, 9, (3, 4, 6)))
    tokens.x.requires_grad_()
    out = build(name, aggregation=aggregation)(tokens)
    for b in range(3):
        for s in range(2):
            frames = slice(2 * s, 2 * s + 2)
            patches = tokens.patches[b, frames].reshape(1, 12, 8)
            size = tokens.size[b, frames].reshape(1, 12)
            kept, assignment = MERGING[name](patches, 5, 2)
            expected = patches[:, kept[0]], size[:, kept[0]]
            if aggregation == 'mean':
                expected = merge(patches, assignment, 5, size)
            torch.testing.assert_close(out.patches[b, s], expected[0][0])
            assert torch.equal(out.size[b, s], expected[1][0])
            assert torch.equal(out.positions[b, s], kept[0] + 12 * s)
    out.patches.sum().backward()
    reached = tokens.x.grad[:, 1:].abs().sum(-1) > 0
    assert reached.all() == (aggregation == 'mean')


@pytest.mark.parametrize('name', MERGING)
def test_merging_is_the_default(name):
    assert build(name).aggregation == 'mean'


@pytest.mark.parametrize('name', DROPPING[1:])
def test_drops_by_its_score(name):
    tokens = video_tokens()
    out = build(name)(tokens)
    for b in range(3):
        for s in range(2):
            frames = slice(2 * s, 2 * s + 2)
            patches = tokens.patches[b, frames]
            classes = tokens.prefix[b, frames].expand_as(patches)
            scores = dict(
                NormTokenDrop=norms(patches).flatten(),
                ClassSimilarityTokenDrop=similarity_to(patches, classes).flatten(),
                DuplicateTokenDrop=novelty(patches.reshape(1, 12, 8), 2)[0])[name]
            best = sorted(range(12), key=lambda i: -scores[i])[:5]
            assert (out.positions[b, s] - 12 * s).tolist() == sorted(best)
    assert out.size is None


def test_random_tokens_are_the_same_in_every_evaluation():
    neck, tokens = build('RandomTokenDrop').eval(), video_tokens()
    first = neck(tokens).positions
    assert torch.equal(neck(tokens).positions, first)
    assert torch.equal(first[0], first[1])
    assert (first[:, 0] != first[:, 1] - 12).any()
    assert not torch.equal(build('RandomTokenDrop', seed=1).eval()(tokens).positions,
                           first)
    state = torch.get_rng_state()
    neck.eval()(tokens)
    assert torch.equal(torch.get_rng_state(), state)
    draws = {tuple(neck.train()(tokens).positions.flatten().tolist()) for _ in range(5)}
    assert len(draws) > 1


@pytest.mark.parametrize('name, options, message', [
    ('DensityPeakClustering', dict(neighbors=0), 'neighbors .* got 0'),
    ('DensityPeakClustering', dict(scale='x'), "scale .* got 'x'"),
    ('AgglomerativeClustering', dict(linkage='ward'), "'ward' is for"),
    ('AgglomerativeClustering', dict(aggregation='sum'), "aggregation .* got 'sum'"),
    ('RandomTokenDrop', dict(seed=-1), 'RandomTokenDrop: seed .* got -1'),
    *((name, dict(aggregation='mean'), "got 'mean'") for name in DROPPING),
    *((name, {option: True}, f'{name}: {option} is for .* got True')
      for name in WITHOUT_MASKS for option in ('exclude_padding', 'adaptive_segments')),
    ('TokenClustering', dict(adaptive_segments=2), 'adaptive_segments .* got 2'),
    ('TokenClustering', dict(adaptive_segments=True, backend='triton'), 'triton'),
])
def test_bad_options_are_named(name, options, message):
    with pytest.raises(InputError, match=message):
        build(name, **options)


def test_a_host_without_class_token_is_named():
    tokens = video_tokens().replace(prefix=torch.zeros(3, 4, 0, 8))
    with pytest.raises(InputError, match='ClassSimilarityTokenDrop.* class token'):
        build('ClassSimilarityTokenDrop')(tokens)


ADAPTIVE = [dict(type='TokenClustering'),
            dict(type='TokenClustering', aggregation='mean'),
            *(dict(type=name) for name in (
                'DensityPeakClustering', 'AgglomerativeClustering', *DROPPING[1:])),
            dict(type='SegmentMeanPooling', num_centers=None)]


def adaptive(config, **options):
    config = dict(CENTERS, **{**config, 'adaptive_segments': True, **options})
    if config['num_centers'] is None:
        del config['num_centers']
    return MODELS.build(config)


def scenes(*lengths, noise=0.01):
    """Videos whose frames stay the same for so long."""
    frames = torch.randn(2, len(lengths), 6, 8).repeat_interleave(
        torch.tensor(lengths), dim=1)
    tokens = video_tokens(batch=2, frames=sum(lengths))
    return tokens.replace(patches=frames + noise * torch.randn_like(frames))


@pytest.mark.parametrize('config', ADAPTIVE, ids=lambda c: '-'.join(c.values())
                         if all(isinstance(v, str) for v in c.values()) else c['type'])
@pytest.mark.parametrize('lengths, segments', [
    ((1, 5, 2), 3), ((2, 5), 2), ((4, 4, 4), 3), ((1, 1), 2)])
def test_adaptive_segments_are_the_scenes(config, lengths, segments):
    """Each as if it were a video of its own; padding changes nothing."""
    tokens = scenes(*lengths)
    out = adaptive(config, num_segments=segments)(tokens)
    alone = adaptive(config, num_segments=1, adaptive_segments=False)
    start = 0
    for s, length in enumerate(lengths):
        frames = slice(start, start + length)
        scene = alone(VideoTokens.of_parts(
            tokens.prefix[:, frames], tokens.patches[:, frames]))
        torch.testing.assert_close(out.prefix[:, s], scene.prefix[:, 0])
        torch.testing.assert_close(out.patches[:, s], scene.patches[:, 0])
        assert torch.equal(out.positions[:, s], scene.positions[:, 0] + 6 * start)
        if scene.size is not None:
            assert torch.equal(out.size[:, s], scene.size[:, 0])
        start += length
    assert out.frame_mask is None


def test_adaptive_segments_leave_padding_out():
    tokens = scenes(1, 3, 2)
    mask = (torch.arange(6) < 4).expand(2, -1)
    tokens.patches[:, 4:] = 0
    neck = adaptive(dict(type='TokenClustering'))
    out = neck(tokens.replace(frame_mask=mask))
    assert out.frame_mask.tolist() == [[True, True]] * 2
    torch.testing.assert_close(out.prefix[:, 0], tokens.prefix[:, 0])
    torch.testing.assert_close(out.prefix[:, 1], tokens.prefix[:, 1:4].mean(1))
    assert (out.positions < 24).all()
    empty = neck(tokens.replace(frame_mask=torch.zeros(2, 6).bool()))
    assert not empty.frame_mask.any() and empty.patches.isfinite().all()


@pytest.mark.parametrize('config', [
    dict(type='SegmentMeanPooling', num_centers=None),
    dict(type='TokenClustering', aggregation='mean')], ids=lambda c: c['type'])
@pytest.mark.parametrize('real', [1, 2, 3, 5])
def test_padding_changes_no_adaptive_segment(config, real):
    """Real frames are cut as if they were alone; what is left is marked."""
    tokens = scenes(2, 1, 5)
    mask = (torch.arange(8) < real).expand(2, -1)
    neck = adaptive(config, num_segments=3)
    out = neck(tokens.replace(frame_mask=mask))
    count = min(real, 3)
    assert out.frame_mask.tolist() == [[s < count for s in range(3)]] * 2
    alone = adaptive(config, num_segments=count)(VideoTokens.of_parts(
        tokens.prefix[:, :real], tokens.patches[:, :real]))
    for name in ('prefix', 'patches', 'size', 'positions', 'first_frames'):
        torch.testing.assert_close(getattr(out, name)[:, :count],
                                   getattr(alone, name), msg=name)
    # A segment of padding is a frame of it, once.
    assert (out.size[:, count:].sum(-1) == 6).all()
    if count < 3:
        torch.testing.assert_close(out.prefix[:, 2], tokens.prefix[:, 2])


def test_adaptive_segments_know_their_first_frames():
    tokens = scenes(1, 5, 2)
    out = adaptive(dict(type='TokenClustering'), num_segments=3)(tokens)
    assert out.first_frames.tolist() == [[0, 1, 6]] * 2
    again = MODELS.build(dict(type='SegmentMeanPooling', before_block=2,
                              num_segments=1))(out)
    assert again.first_frames.tolist() == [[0]] * 2


def test_adaptive_segments_have_enough_tokens():
    tokens = scenes(1, 7)
    neck = adaptive(dict(type='TokenClustering'), num_centers=13)
    positions = neck(tokens).positions  # of 3 frames or more, the scene has one
    assert (positions.diff(dim=-1) > 0).all()
    assert (positions[:, 0, -1] < positions[:, 1, 0]).all()
    with pytest.raises(InputError, match='8 frames cannot be cut into 2 .* of 5 to'):
        adaptive(dict(type='TokenClustering'), num_centers=25)(tokens)
    with pytest.raises(InputError, match='1 frames cannot be cut into 2'):
        adaptive(dict(type='NormTokenDrop'))(video_tokens(frames=1))


def test_excluded_padding_counts_in_no_size():
    tokens = video_tokens(batch=1)
    mask = torch.tensor([[True, True, True, False]])
    for config in (dict(CENTERS, type='TokenClustering', aggregation='mean'),
                   dict(type='SegmentMeanPooling', before_block=1, num_segments=2)):
        for exclude, expected in ((True, [12, 6]), (False, [12, 12])):
            neck = MODELS.build(dict(config, exclude_padding=exclude))
            assert neck(tokens.replace(frame_mask=mask)).size.sum(-1)[0].tolist() \
                == expected
