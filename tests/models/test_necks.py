import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens
from mmaction_centerclip.ops import kmedoids

from .selections import record_selections


def build(**options):
    return MODELS.build(
        dict(
            dict(
                type='TokenClustering',
                before_block=3,
                num_segments=2,
                num_centers=5), **options))


def video_tokens(batch=3, frames=4, patches=6, channels=8, prefix=1):
    return VideoTokens.of_parts(
        torch.randn(batch, frames, prefix, channels),
        torch.randn(batch, frames, patches, channels))


@pytest.mark.parametrize('prefix', [1, 3])
def test_keeps_the_centers_and_the_mean_class_token(prefix):
    tokens = video_tokens(prefix=prefix)
    neck = build()
    out = neck(tokens)
    assert out.prefix.shape == (3, 2, prefix, 8)
    assert out.patches.shape == (3, 2, 5, 8)
    for b in range(3):
        for s in range(2):
            frames = slice(2 * s, 2 * s + 2)
            segment = tokens.patches[b, frames].reshape(1, 12, 8)
            medoids, assignment = kmedoids(segment, 5)
            assert torch.equal(out.patches[b, s], segment[0, medoids[0]])
            assert torch.equal(out.positions[b, s], medoids[0] + 12 * s)
            torch.testing.assert_close(out.prefix[b, s],
                                       tokens.prefix[b, frames].mean(0))


def test_gradient_flows_through_the_kept_tokens_only():
    tokens = video_tokens()
    tokens.x.requires_grad_()
    out = build()(tokens)
    out.patches.sum().backward()
    grad = tokens.x.grad[:, 1:].reshape(3, 24, 8)[..., 0]
    expected = torch.zeros(3, 24).scatter_(1, out.positions.flatten(1), 1)
    assert torch.equal(grad, expected)


@pytest.mark.parametrize('config', [
    dict(type='TokenClustering'), dict(type='TokenClustering', aggregation='mean'),
    dict(type='SparseTokenSampling'), dict(type='SegmentMeanPooling')])
def test_positions_and_sizes_follow_the_tokens(config):
    """Two reductions in a row: each token says where it is from."""
    tokens = video_tokens(frames=8)
    # Patches that say themselves which patch of which frame they are.
    number = torch.arange(48.).view(1, 8, 6, 1).expand(3, -1, -1, 8)
    tokens = tokens.replace(patches=number + 0.01 * tokens.patches)
    for segments, centers in ((4, 5), (2, 4)):
        if config['type'] != 'SegmentMeanPooling':
            config = dict(config, num_centers=centers)
        neck = MODELS.build(dict(config, before_block=1, num_segments=segments))
        before, selections = tokens, []
        if hasattr(neck, 'select'):
            selections = record_selections(neck)
        tokens = neck(tokens)
        old = before.with_positions().positions.unflatten(
            1, (segments, -1)).flatten(2)
        if selections:
            (medoids, assignment), = selections
            expected = old.gather(2, medoids.unflatten(0, (3, segments)))
            assert torch.equal(tokens.positions, expected)
        merges = 'Mean' in config['type'] or config.get('aggregation') == 'mean'
        if merges:  # Nothing is lost.
            assert (tokens.size.sum(dim=(1, 2)) == 48).all()
        else:
            assert tokens.size is None
            torch.testing.assert_close(
                tokens.patches.mean(-1), tokens.positions.float(), atol=0.1, rtol=0)
    if config['type'] == 'SegmentMeanPooling':
        assert tokens.positions[0].tolist() == [
            list(range(6)), list(range(24, 30))]


@pytest.mark.parametrize('options, message', [
    (dict(before_block=0), 'before_block must be a positive integer, got 0'),
    (dict(num_segments=1.5), 'num_segments .* got 1.5'),
    (dict(num_segments=True), 'num_segments .* got True'),
    (dict(tol='small'), "TokenClustering: tol .* got 'small'"),
    (dict(max_iters=1.5), 'max_iters .* got 1.5'),
    (dict(backend='triton', exclude_padding=True), 'exclude_padding'),
    (dict(num_centers=-1), 'num_centers .* got -1'),
    (dict(distance='l2'), "distance .* got 'l2'"),
    (dict(p=-1), 'p must be positive, got -1'),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


@pytest.mark.parametrize('options, message', [
    (dict(num_segments=3), 'num_segments must divide .* 3 segments for 4'),
    (dict(num_centers=13), 'num_centers=13.* 12 tokens of a segment'),
])
def test_bad_sizes_are_named_in_the_forward_pass(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)(video_tokens())


CENTERS = dict(before_block=1, num_segments=2, num_centers=5)
NECKS = [
    dict(CENTERS, type='TokenClustering'),
    dict(CENTERS, type='TokenClustering', aggregation='mean', p=1.0),
    dict(CENTERS, type='TokenClustering', distance='cosine', pre_norm=True),
    dict(CENTERS, type='SpectralTokenClustering', sigma='auto'),
    dict(CENTERS, type='SpectralTokenClustering', graph='heat', sigma='auto',
         aggregation='mean'),
    dict(CENTERS, type='SparseTokenSampling'),
    dict(CENTERS, type='RunTokenMerging'),
    dict(type='SegmentMeanPooling', before_block=1, num_segments=2),
    dict(type='TemporalShift', before_block=1),
    dict(type='TokenShift', before_block=1),
]


@pytest.mark.parametrize('config', NECKS, ids=lambda c: c['type'])
@pytest.mark.parametrize('training, valid', [(True, 0), (False, 1)])
def test_every_neck_keeps_the_shapes_and_the_gradient(config, training, valid):
    neck = MODELS.build(config).train(training)
    tokens = video_tokens(batch=2, prefix=2)
    tokens.x.requires_grad_()
    out = neck(tokens.replace(frame_mask=torch.arange(4).expand(2, 4) < valid))
    shifts = config['type'].endswith('Shift')
    frames = 4 if shifts else 2
    count = config.get('num_centers', 6)
    assert out.prefix.shape == (2, frames, 2, 8)
    assert out.patches.shape == (2, frames, count, 8)
    assert out.frame_mask.shape == (2, frames)
    assert out.frame_mask.any() == (valid > 0)
    out.x.sum().backward()
    assert out.x.isfinite().all() and tokens.x.grad.isfinite().all()


def test_centers_can_count_as_often_as_their_clusters():
    tokens = video_tokens(batch=2)
    necks = [build(before_block=1, num_segments=2, num_centers=4, **options)
             for options in (dict(), dict(proportional=True), dict(aggregation='mean'))]
    alone, counted, mean = (neck(tokens) for neck in necks)
    assert [neck.proportional_attention for neck in necks] == [False, True, False]
    assert alone.size is None and torch.equal(counted.size, mean.size)
    assert torch.equal(counted.x, alone.x) and (counted.size.sum(-1) == 12).all()
    again = necks[1](counted)  # One segment a frame now: sizes add up.
    assert torch.equal(again.size.sum(-1), counted.size.sum(-1))
    with pytest.raises(InputError, match='proportional must be one of'):
        build(type='SparseTokenSampling', before_block=1, num_segments=2, num_centers=4,
              proportional=True)


@pytest.mark.parametrize('count', [4, 0.4])
def test_what_is_dropped_can_be_fused(count):
    tokens = video_tokens(batch=2)
    dropped, fused = (MODELS.build(dict(
        type='NormTokenDrop', before_block=1, num_segments=2, num_centers=count,
        fuse=fuse))(tokens) for fuse in (False, True))
    assert torch.equal(fused.positions, dropped.positions)
    assert (fused.size.sum(-1) == 12).all()
    segments = tokens.patches.reshape(4, 12, 8)
    for row, size, own, place in zip(segments, fused.size.flatten(0, 1),
                                     fused.patches.flatten(0, 1),
                                     fused.positions.flatten(0, 1) % 12):
        real = size > 0
        assert real.any() and (count < 1 or real.all())
        last = place[real][row[place[real]].norm(dim=-1).argmin()]
        for token, held, at in zip(own[real], size[real], place[real]):
            if at != last:
                assert held == 1 and torch.equal(token, row[at])
                continue
            rest = [i for i in range(12) if i == last or i not in place[real]]
            assert held == len(rest)
            torch.testing.assert_close(token, row[rest].mean(0))


def test_a_segment_that_keeps_all_changes_no_other():
    """A share may leave one whole and little of the next."""
    neck = MODELS.build(dict(type='NormTokenDrop', before_block=1, num_segments=2,
                             num_centers=0.6, fuse=True))
    tokens = video_tokens(batch=1, frames=2, patches=10)
    tokens.patches[:, 0] *= 100
    out = neck(tokens)
    assert (out.size > 0).sum(-1).tolist() == [[10, 2]]
    assert out.size.sum(-1).tolist() == [[10, 10]]
    torch.testing.assert_close(out.patches[0, 0], tokens.patches[0, 0])
    message = 'fuse=True does not go with adaptive_segments'
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(type='NormTokenDrop', before_block=1, num_segments=2,
                          num_centers=4, fuse=True, adaptive_segments=True))


@pytest.mark.parametrize('aggregation', ['medoid', 'mean'])
def test_padding_can_stay_out(aggregation):
    neck = build(before_block=1, num_segments=1, num_centers=4,
                 aggregation=aggregation, exclude_padding=True)
    tokens = video_tokens(batch=1)
    mask = torch.tensor([[True, True, False, False]])
    out = neck(tokens.replace(frame_mask=mask))
    alone = neck(VideoTokens.of_parts(tokens.prefix[:, :2], tokens.patches[:, :2]))
    torch.testing.assert_close(out.prefix, alone.prefix)
    torch.testing.assert_close(out.patches, alone.patches)
    assert out.frame_mask.tolist() == [[True]]


def test_padding_stays_out_of_several_reductions():
    mask = (torch.arange(12) < 7)[None]
    tokens = VideoTokens.of_parts(torch.arange(12.).view(1, 12, 1, 1),
                         torch.randn(1, 12, 2, 1), mask)
    for segments in (6, 3):
        neck = MODELS.build(dict(type='SegmentMeanPooling', before_block=1,
                                 num_segments=segments, exclude_padding=True))
        tokens = neck(tokens)
    # Frames 0-3, then 4, 5 and the lone 6 of its pair.
    assert tokens.prefix.flatten()[:2].tolist() == [1.5, 5.25]
    assert tokens.frame_mask.tolist() == [[True, True, False]]


@pytest.mark.parametrize('start', ['zeros', 'random', 'clip'])
def test_cluster_embedding_is_added_in_token_order(start):
    plain = build(before_block=1)
    neck = build(before_block=1, cluster_embed=start, embed_dims=8)
    neck.init_from_positions(torch.arange(48.).view(6, 8))
    expected = dict(zeros=torch.zeros(5, 8), clip=torch.arange(40.).view(5, 8))
    if start in expected:
        assert torch.equal(neck.cluster_embed, expected[start])
    else:
        assert neck.cluster_embed.std() > 0
    tokens = video_tokens()
    torch.testing.assert_close(
        neck(tokens).patches, plain(tokens).patches + neck.cluster_embed)
    neck(tokens).patches.sum().backward()
    assert torch.equal(neck.cluster_embed.grad, torch.full((5, 8), 6.))


def test_frame_embedding_is_that_of_the_tokens_frame():
    neck = build(before_block=1, frame_embed='random', frames_per_segment=2,
                 embed_dims=8)
    plain = build(before_block=1)
    tokens = video_tokens()
    out = neck(tokens)
    added = out.patches - plain(tokens).patches
    for b in range(3):
        for s in range(2):
            for k in range(5):
                frame = int(out.positions[b, s, k]) // 6 - 2 * s
                torch.testing.assert_close(added[b, s, k],
                                           neck.frame_embed[frame])


@pytest.mark.parametrize('options, message', [
    (dict(aggregation='sum'), "aggregation .* got 'sum'"),
    (dict(cluster_embed='ones'), "cluster_embed .* got 'ones'"),
    (dict(cluster_embed='zeros'), 'embed_dims .* got None'),
    (dict(frame_embed='zeros', embed_dims=8), 'frames_per_segment .* got None'),
    (dict(type='SparseTokenSampling', aggregation='mean'), "got 'mean'"),
    (dict(type='SpectralTokenClustering', graph='full'), "got 'full'"),
    (dict(type='SpectralTokenClustering', knn=0), 'knn .* got 0'),
    (dict(type='SpectralTokenClustering', exclude_padding=True),
     'exclude_padding'),
    (dict(type='SparseTokenSampling', exclude_padding=True),
     'exclude_padding'),
    (dict(type='SpectralTokenClustering', sigma='x'), "sigma .* got 'x'"),
    (dict(type='SpectralTokenClustering', p=-1), 'p must be .* got -1'),
    (dict(type='SpectralTokenClustering', spatial_kernel=4),
     'SpectralTokenClustering: spatial_kernel must be odd, got 4'),
])
def test_bad_options_of_the_other_necks_are_named(options, message):
    with pytest.raises(InputError, match=message):
        build(**options)


def test_bad_sizes_of_the_other_necks_are_named():
    neck = build(before_block=1, cluster_embed='clip', embed_dims=8)
    with pytest.raises(InputError, match='needs 5 patch positions.* has 4'):
        neck.init_from_positions(torch.zeros(4, 8))
    neck = build(before_block=1, frame_embed='zeros', frames_per_segment=4,
                 embed_dims=8)
    with pytest.raises(InputError, match='segments of 2 frames'):
        neck(video_tokens())
    neck = build(type='SpectralTokenClustering', spatial_kernel=3)
    with pytest.raises(InputError, match='square grid .* 6 tokens a frame'):
        neck(video_tokens())
    with pytest.raises(InputError, match='fold_div .* got 1'):
        MODELS.build(dict(type='TemporalShift', before_block=1, fold_div=1))
