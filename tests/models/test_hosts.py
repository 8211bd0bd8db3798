"""The contract of every host: the stock model, with necks between its blocks."""
import copy

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, VideoTokens

from .hosts import HOSTS, MAE, TIMM
from .selections import record_selections

CENTERS = dict(num_segments=2, num_centers=3)
NECK = dict(type='TokenClustering', before_block=2, **CENTERS)
NECKS = dict(
    kmedoids=[NECK],
    kmedoids_first=[dict(NECK, before_block=1)],
    kmedoids_mean=[dict(NECK, aggregation='mean')],
    embeddings=[dict(NECK, cluster_embed='clip', frame_embed='random',
                     frames_per_segment=4)],
    padding=[dict(NECK, exclude_padding=True)],
    spectral=[dict(NECK, type='SpectralTokenClustering', sigma='auto')],
    sampling=[dict(NECK, type='SparseTokenSampling')],
    mean=[dict(type='SegmentMeanPooling', before_block=2, num_segments=2)],
    temporal_shift=[dict(type='TemporalShift', before_block=2)],
    token_shift=[dict(type='TokenShift', before_block=2)],
    two=[NECK, dict(NECK, before_block=3, num_segments=1, num_centers=2)],
    two_at_once=[dict(NECK, num_segments=4),
                 dict(type='SegmentMeanPooling', before_block=2, num_segments=2)],
    shift_then_kmedoids=[dict(type='TokenShift', before_block=2),
                         dict(NECK, before_block=3)],
)
each_host = pytest.mark.parametrize('host', HOSTS.values(), ids=list(HOSTS))
# Each host with a neck in front of a block, one inside, and several, of which the
# first has embeddings; every neck in a host of each kind.
EVERY_NECK = ('clip', 'videomae')
few_hosts = pytest.mark.parametrize('host', [HOSTS[name] for name in EVERY_NECK])
each_pair = pytest.mark.parametrize('host, necks', [
    pytest.param(host, necks, id=f'{name}-{neck}') for name, host in HOSTS.items()
    for neck, necks in NECKS.items()
    if name in EVERY_NECK or neck in ('kmedoids', 'shift_then_kmedoids')])


def mask_of(host):
    """The mask of three videos' frames, and of the host's frames of tokens."""
    mask = torch.arange(8) < torch.tensor([[8], [5], [2]])
    return mask, mask[:, host.tubelet - 1::host.tubelet]


def encode_by_hand(host, stock, necks, imgs, mask):
    """Run embedding, necks, blocks and pooling one after the other."""
    batch_size, x = len(imgs), host.embed(stock, imgs)
    known = dict(frame_mask=mask, positions=None, size=None)
    token = host.video_token(stock, batch_size) if host.video_token else None

    def apply(neck, x, known):
        tokens = x.unflatten(0, (batch_size, -1))
        out = neck(VideoTokens.of_parts(
            tokens[:, :, :host.prefix], tokens[:, :, host.prefix:], **known))
        return out.x, {name: getattr(out, name) for name in known}

    for number, block in enumerate(host.blocks(stock), start=1):
        here = [neck for neck in necks if neck.before_block == number]
        for neck in here:
            x, known = apply(neck, x, known)
        inside = [neck for neck in here if neck.inside_block]
        if not inside:
            x, token = host.run_block(block, x, token, batch_size, known['positions'])
            continue
        attention, mlp = host.halves(block)
        y, of_token = host.run_block(
            attention, x, token, batch_size, known['positions'])
        x = x + y
        if token is not None:
            token = token + of_token
            token = token + mlp(token)
        for neck in inside:
            x, known = apply(neck, x, known)
        x = x + mlp(x)
    if token is not None:  # One feature of the video.
        x, mask = token, None if mask is None else mask.any(dim=1, keepdim=True)
        return host.pool(stock, x).unflatten(0, (batch_size, -1)), mask
    return host.pool(stock, x).unflatten(0, (batch_size, -1)), known['frame_mask']


@each_host
@torch.no_grad()
def test_without_necks_it_is_the_stock_model(host, imgs):
    tower, stock = host.build().eval(), host.stock().eval()
    assert list(tower.state_dict()) == list(stock.state_dict())
    tower.load_state_dict(stock.state_dict())
    if host.clips:
        clips = imgs.transpose(1, 2)
        for layout in (torch.contiguous_format, torch.channels_last_3d):
            clips = clips.contiguous(memory_format=layout)
            assert torch.equal(tower(clips), stock(clips))
        expected, _ = encode_by_hand(host, stock, [], imgs, None)
        torch.testing.assert_close(tower.encode(imgs)[0], expected)
    else:
        expected = stock(imgs.flatten(0, 1)).unflatten(0, (3, 8))
        assert torch.equal(tower.encode(imgs)[0], expected)
        assert torch.equal(tower(imgs)[0], expected)
    assert tower.encode(imgs)[1] is None
    assert tower.embed_dims == expected.shape[-1]


@each_pair
def test_with_necks_it_is_the_blocks_run_by_hand(host, necks, imgs):
    if 'frames_per_segment' in necks[0] and host.joint:
        necks = [dict(necks[0], frames_per_segment=4 // host.tubelet)]
    tower, stock = host.build(necks), host.stock()
    own = {k for k in tower.state_dict() if not k.startswith('necks.')}
    assert own == stock.state_dict().keys()
    stock.load_state_dict({k: tower.state_dict()[k] for k in own})
    tower.eval(), stock.eval()
    frames, mask = mask_of(host)
    features, segment_mask = tower.encode(imgs, frames)
    expected, expected_mask = encode_by_hand(host, stock, tower.necks, imgs, mask)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(segment_mask, expected_mask)
    # Gradients too: a neck may compute them on fewer tokens.
    weights = torch.randn_like(features)
    (features * weights).sum().backward()
    got = {n: p.grad for n, p in tower.named_parameters()}
    tower.zero_grad()
    (expected * weights).sum().backward()
    for name, parameter in tower.named_parameters():
        other = dict(stock.named_parameters()).get(name, parameter)
        if other.grad is None:
            assert got[name] is None or not got[name].any(), name
        else:
            torch.testing.assert_close(
                got[name], other.grad, rtol=1e-3,
                atol=1e-4 * other.grad.abs().max().item() + 1e-9, msg=name)


@few_hosts
def test_deepcopy_keeps_its_own_necks(host, imgs):
    tower = host.build([NECK])
    copied = copy.deepcopy(tower)
    copied.necks[0].num_centers = 2
    selections = [record_selections(t.necks[0]) for t in (tower, copied)]
    tower.encode(imgs), copied.encode(imgs)
    assert [s[0][0].shape[1] for s in selections] == [3, 2]


@each_host
@torch.no_grad()
def test_the_frames_of_a_video_stay_together(host, imgs):
    """A video's features do not depend on its neighbours in the batch."""
    tower = host.build([NECK]).eval()
    together, _ = tower.encode(imgs)
    alone = torch.cat([tower.encode(video[None])[0] for video in imgs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@each_host
def test_freezes_the_embeddings_and_the_first_blocks(host, imgs):
    tower = host.build([dict(NECK, cluster_embed='clip')])
    tower.freeze(-1)
    before = {n for n, p in tower.named_parameters() if p.requires_grad}
    tower.freeze(2)
    blocks = host.blocks(tower)
    trained = {n for n, p in tower.named_parameters() if p.requires_grad}
    names = {id(p): n for n, p in tower.named_parameters()}
    last = {names[id(p)] for p in blocks[2].parameters()}
    necks = {n for n in before if n.startswith('necks.')}
    tail = trained - last - necks
    assert last | necks <= trained and before - trained
    # What is left is what pooling reads: it alone changes the features so.
    tower.encode(imgs)[0].square().sum().backward()
    stock = host.stock()
    pooled = {n for n in tail}
    x = torch.randn(2, host.prefix + 4, tower.patch_positions().shape[1])
    host.pool(stock, x).sum().backward()
    assert pooled == {
        n for n, p in stock.named_parameters() if p.grad is not None}
    for bad in (-2, 4):
        with pytest.raises(InputError, match=f'from -1 .* to 3.* got {bad}'):
            tower.freeze(bad)


@each_host
def test_loads_a_stock_state_dict_strictly(host):
    tower, stock = host.build([dict(NECK, cluster_embed='clip')]), host.stock()
    state = stock.state_dict()
    tower.load_pretrained(state, 'file.pth')
    for name, value in state.items():
        assert torch.equal(tower.state_dict()[name], value)
    assert torch.equal(tower.necks[0].cluster_embed, tower.patch_positions()[:3])
    first = next(iter(state))
    for bad, message in (
        ({k: v for k, v in state.items() if k != first}, f"missing .'{first}'"),
        (dict(state, other=state[first]), "not part of the model .'other'"),
        (dict(state, **{first: torch.zeros(7)}), rf'{first} has .* \(7,\)')):
        with pytest.raises(InputError, match=f'file.pth.*{message}'):
            tower.load_pretrained(bad, 'file.pth')


@few_hosts
def test_bad_necks_and_frames_are_named(host, imgs):
    for necks, message in (
        ([dict(NECK, before_block=4)], "from 1 to the tower's 3 blocks, got 4"),
        (NECK, 'necks must be a list'),
        ([dict(type='ResNet', depth=50)], "token necks, got .*'ResNet'"),
        ([dict(type='NoSuchNeck', before_block=1)], "got .*'NoSuchNeck'")):
        with pytest.raises(InputError, match=message):
            MODELS.build(dict(copy.deepcopy(host.config), necks=necks))
    tower = host.build()
    with pytest.raises(InputError, match=r'\(B, T, 3, H, W\), got'):
        tower.encode(imgs[0])
    if tower.image_size:
        with pytest.raises(InputError, match=r'\(32, 32\) pixels.*\(16, 32\)'):
            tower.encode(imgs[..., :16, :])
    tower.embed_dims = 7
    with pytest.raises(InputError, match='embed_dims must be .* got 7'):
        tower.encode(imgs)


def test_a_block_without_halves_runs_whole(imgs):
    """timm's post-norm block: necks behind it, but none inside."""
    post = timm_block('ResPostBlock')
    tower = TimmVisionTower([NECK], block_fn=post, **TIMM).eval()
    expected, _ = encode_by_hand(HOSTS['timm'], tower, tower.necks, imgs, None)
    torch.testing.assert_close(tower.encode(imgs)[0], expected)
    with pytest.raises(InputError, match='between attention and MLP.*ResPostBlock'):
        TimmVisionTower(NECKS['token_shift'], block_fn=post, **TIMM)


def timm_block(name):
    from timm.models import vision_transformer
    return getattr(vision_transformer, name)


@torch.no_grad()
def test_videomae_takes_frames_of_another_size_as_the_zoo_does():
    host = HOSTS['videomae']
    tower, stock = host.build().eval(), host.stock().eval()
    tower.load_state_dict(stock.state_dict())
    clips = torch.randn(2, 3, 8, 48, 64)
    torch.testing.assert_close(tower(clips), stock(clips), rtol=0, atol=0)
    with pytest.raises(InputError, match='8 frames.*got 6'):
        tower(torch.randn(2, 3, 6, 32, 32))
    with pytest.raises(InputError, match='return_feat_map'):
        host.build([NECK], return_feat_map=True)
    tower = host.build(return_feat_map=True).eval()
    stock.return_feat_map = True
    tower.load_state_dict(stock.state_dict())
    clips = torch.randn(2, 3, 8, 32, 32)
    # The zoo's feature map has no norm where the mean is pooled.
    assert torch.equal(tower(clips), stock(clips))


@torch.no_grad()
def test_videomae_v2s_options(imgs):
    """As in its ViT-g, whose MLP is 48 / 11 times as wide as the tokens."""
    sizes = dict(img_size=32, patch_size=8, embed_dims=44, depth=3, num_heads=4,
                 mlp_ratio=48 / 11, num_frames=8, qkv_bias=True, qk_scale=0.3,
                 norm_cfg=dict(type='LN', eps=1e-6))
    stock = MODELS.build(dict(sizes, type='VisionTransformer')).eval()
    tower = MODELS.build(dict(sizes, type='VideoMAETower')).eval()
    tower.load_state_dict(stock.state_dict())
    clips = imgs.transpose(1, 2)
    assert torch.equal(tower(clips), stock(clips))
    tower = MODELS.build(dict(sizes, type='VideoMAETower', necks=[
        dict(NECK, num_centers=16)])).eval()
    assert tower(clips).shape == (3, 44)
    assert tower.encode(imgs)[0].shape == (3, 2, 44)


def test_videomaes_weights_are_loaded_or_refused(tmp_path):
    """The zoo's ``pretrained`` is overwritten by ``init_cfg``: nothing is loaded."""
    stock, path = HOSTS['videomae'].stock(), tmp_path / 'weights.pth'
    torch.save(stock.state_dict(), path)
    forgetful = MODELS.build(dict(MAE, type='VisionTransformer', pretrained=str(path)))
    assert not any(cfg['type'] == 'Pretrained' for cfg in forgetful.init_cfg)
    with pytest.raises(InputError, match="write init_cfg=dict.type='Pretrained'"):
        HOSTS['videomae'].build(pretrained=str(path))
    tower = HOSTS['videomae'].build(
        [NECK], init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    tower.init_weights()
    for name, value in stock.state_dict().items():
        assert torch.equal(tower.state_dict()[name], value)
