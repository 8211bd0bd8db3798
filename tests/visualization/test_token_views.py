"""Views of necks show what the tower's own tokens say, for each reducer."""
import math

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import VideoTokens
from mmaction_centerclip.models.backbones import BlockStep, NeckStep
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.visualization import draw_tokens, see_tokens

from ..models.hosts import HOSTS
from ..models.selections import record_selections
from ..models.test_reducers_in_hosts import REDUCERS, config_of, refused

# With a class token and registers, without, and with tubelets of two frames.
NAMES = ['timm_registers', 'timm_without_class', 'videomae']


@pytest.fixture(autouse=True)
def spies(monkeypatch):
    """Necks that keep what they are given, and hand it on."""
    monkeypatch.setattr(MODELS, '_module_dict', dict(MODELS.module_dict))

    @MODELS.register_module()
    class Spy(TokenNeck):

        def forward(self, tokens):
            self.seen = tokens
            return tokens

    @MODELS.register_module()
    class Forgetful(TokenNeck):

        def forward(self, tokens):
            return tokens.replace(patches=tokens.patches[:, :, 1:], positions=None)

    @MODELS.register_module()
    class LastPatch(TokenNeck):
        """Has no forward that its ``after`` calls, as a neck may."""

        def forward(self, tokens):
            raise AssertionError('not on the way')

        def after(self, step, tokens):
            return tokens.map(step).replace(patches=tokens.patches[:, :, -1:],
                                             positions=tokens.positions[:, :, -1:])


@pytest.fixture
def imgs():
    return torch.rand(2, 8, 3, 32, 32)


@pytest.mark.parametrize('name, reducer', [
    *((NAMES[0], reducer) for reducer in REDUCERS),
    *((name, 'kmedoids') for name in HOSTS if name != NAMES[0])])
def test_the_dimmed_patches_are_those_without_a_token(name, reducer, imgs):
    host = HOSTS[name]
    if refused(host, reducer):
        pytest.skip('refused, as tests of the hosts say')
    necks = [config_of(reducer), dict(type='Spy', before_block=3)]
    if reducer == 'run_lengths':  # which drops what stays, and allows no other neck
        imgs[0, 1::2], imgs[1, 1::4] = imgs[0, ::2], imgs[1, ::4]
        del necks[1]
    tower = host.build(necks).train()
    view = see_tokens(tower, imgs)[0]
    assert tower.training and tower.necks[0].training
    assert all(isinstance(step, (BlockStep, NeckStep)) for step in tower.steps)
    if reducer == 'run_lengths':
        tokens = tower.eval().necks[0](_tokens_of(tower, imgs))
    else:
        tokens = tower.necks[1].seen
    frames = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8).numpy()
    for video in range(2):
        center, size = view.center[video].numpy(), view.size[video].numpy()
        picture = draw_tokens(frames, center, columns=8, patch_pixels=1)
        sizes = {}
        for row, place in enumerate(tokens.positions[video].flatten().tolist()):
            own = 1 if tokens.size is None else tokens.size[video].flatten()[row].item()
            if own:
                sizes[place] = math.ceil(own)
        assert 0 < len(sizes) < size.size
        for frame in range(8):
            for patch in range(4):
                place = frame // host.tubelet * 4 + patch
                y, x = patch // 2 * 16, patch % 2 * 16
                # Inside the border; a gap of four pixels is between frames.
                drawn = picture[y + 2:y + 14, 36 * frame + x + 2:36 * frame + x + 14]
                block = frames[frame, y + 2:y + 14, x + 2:x + 14]
                assert (drawn == (block if place in sizes else block // 4)).all()
                assert size.flat[place] == sizes.get(place, 0)


def _tokens_of(tower, imgs):
    """The tokens in front of the first block."""
    x = tower.frames_to_tokens(imgs)
    return VideoTokens.of(x, len(imgs), tower.num_prefix_tokens).with_positions()


@pytest.mark.parametrize('reducer', ['kmedoids', 'kmedoids_mean', 'spectral', 'peaks',
                                     'agglomerative'])
@pytest.mark.parametrize('name', NAMES)
def test_clusters_are_followed_from_neck_to_neck(name, reducer, imgs):
    host = HOSTS[name]
    tower = host.build([config_of(reducer),
                        config_of(reducer, before_block=3, num_segments=1)])
    records = [record_selections(neck) for neck in tower.necks]
    views = see_tokens(tower, imgs)
    assert all('select' in vars(neck) for neck in tower.necks)  # the tests' own
    frames = 8 // host.tubelet
    for video in range(2):
        # The first: a segment is a half of the frames.
        (medoids, assignment), = records[0]
        first = []
        for place in range(4 * frames):
            segment, token = divmod(place, 2 * frames)
            row = 2 * video + segment
            first.append(2 * frames * segment + medoids[row][assignment[row][token]])
        assert views[0].center[video].flatten().tolist() == first
        # The second: of the three tokens of each half.
        (again, reassignment), = records[1]
        places = [2 * frames * segment + medoids[2 * video + segment][i]
                  for segment in range(2) for i in range(3)]
        second = [places[again[video][reassignment[video][places.index(place)]]]
                  for place in first]
        assert views[1].center[video].flatten().tolist() == second


@pytest.mark.parametrize('name', ['timm_registers', 'videomae'])
def test_pairs_are_followed_to_what_they_merge_into(name, imgs):
    tower = HOSTS[name].build([
        dict(type='TokenMerging', before_block=1, r=1),
        dict(type='TemporalTokenMerging', before_block=2, num_segments=2, r=3),
        dict(type='TokenMerging', before_block=[2, 3], r=0.2)])
    for view in see_tokens(tower, imgs):
        assert (view.center >= 0).all() and not view.kept.all()
        for center, size in zip(view.center, view.size):
            counts = center.flatten().bincount(minlength=size.numel())
            assert torch.equal(counts, size.flatten())


def test_necks_that_drop_are_followed_too(imgs):
    tower = HOSTS['timm'].build([
        config_of('norm'), config_of('kmedoids', before_block=3, num_segments=1)])
    first, second = see_tokens(tower, imgs)
    assert (first.center >= 0).sum() == first.kept.sum() == 2 * 6
    assert ((second.center >= 0) == first.kept).all()
    assert second.kept.sum() == 2 * 3


def test_padding_stands_for_nothing(imgs):
    mask = torch.arange(8).expand(2, -1) < torch.tensor([[8], [6]])
    tower = HOSTS['timm'].build([config_of('kmedoids', exclude_padding=True)])
    view, = see_tokens(tower, imgs, mask)
    assert ((view.center >= 0).all(dim=2) == mask).all()
    # Of the second one's four segments, the second neck joins the three real ones.
    mask = torch.arange(8).expand(2, -1) < torch.tensor([[8], [5]])
    tower = HOSTS['timm'].build([
        config_of('kmedoids', exclude_padding=True, num_segments=segments,
                  before_block=block) for segments, block in ((4, 2), (1, 3))])
    _, view = see_tokens(tower, imgs, mask)
    assert ((view.center >= 0).all(dim=2) == mask).all()
    assert ((view.center < 0).all(dim=2) == ~mask).all()
    tower = HOSTS['timm'].build([config_of('adaptive')])
    view, = see_tokens(tower, imgs)
    assert (view.center >= 0).all() and view.kept.sum() == 12


def test_a_neck_that_goes_its_own_way(imgs):
    tower = HOSTS['timm'].build([dict(type='LastPatch', before_block=2)])
    view, = see_tokens(tower, imgs)
    assert view.neck == 'LastPatch(before_block=2)'
    assert view.kept[..., 3].all() and not view.kept[..., :3].any()


def test_what_cannot_be_seen(imgs):
    with pytest.raises(InputError, match='has no necks'):
        see_tokens(HOSTS['timm'].build(), imgs)
    tower = HOSTS['timm'].build([dict(type='Forgetful', before_block=2)])
    with pytest.raises(InputError, match=r'Forgetful\(before_block=2\): hands on no'):
        see_tokens(tower, imgs)
    assert all(isinstance(step, (BlockStep, NeckStep)) for step in tower.steps)
