import copy

import open_clip
import pytest
import torch
from mmaction.registry import MODELS
from open_clip.model import CLIP, convert_to_custom_text_state_dict

from mmaction_centerclip.errors import InputError

from ..conftest import NECK, TINY_ARCH
from ..paths import SHARED


@pytest.fixture
def clip():
    return CLIP(**copy.deepcopy(TINY_ARCH)).eval()


def vision(necks=(), **options):
    options.setdefault('arch', copy.deepcopy(TINY_ARCH))
    return MODELS.build(
        dict(type='CLIPVisionTower', necks=list(necks), **options)).eval()


@torch.no_grad()
def test_without_necks_it_is_the_untouched_tower(clip, inputs):
    tower = vision()
    assert tower.state_dict().keys() == clip.visual.state_dict().keys()
    tower.load_state_dict(clip.visual.state_dict())
    features, mask = tower(inputs['imgs'])
    expected = clip.visual(inputs['imgs'].flatten(0, 1)).unflatten(0, (5, 4))
    assert torch.equal(features, expected) and mask is None


@torch.no_grad()
def test_a_neck_stands_before_its_block(clip, inputs):
    tower = vision([NECK])
    tower.load_state_dict(clip.visual.state_dict())
    frames = inputs['imgs'].flatten(0, 1)
    x = clip.visual.transformer.resblocks[0](clip.visual._embeds(frames))
    x = x.unflatten(0, (10, 2))
    prefix = x[:, :, :1].mean(dim=1)
    patches = x[:, :, 1:].flatten(1, 2)
    tower.necks[0].record = True
    features, _ = tower(inputs['imgs'])
    medoids = tower.necks[0].medoids
    kept = torch.stack([p[m] for p, m in zip(patches, medoids)])
    x = torch.cat([prefix, kept], dim=1)
    for block in clip.visual.transformer.resblocks[1:]:
        x = block(x)
    expected = clip.visual._pool(x)[0] @ clip.visual.proj
    torch.testing.assert_close(features.flatten(0, 1), expected)


@torch.no_grad()
def test_several_necks_in_one_tower(inputs):
    necks = [NECK, dict(NECK, before_block=3, num_segments=1, num_centers=2)]
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0],
                         [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    features, segment_mask = vision(necks)(inputs['imgs'], mask)
    assert features.shape == (5, 1, 16) and features.isfinite().all()
    assert segment_mask.shape == (5, 1)


def test_deepcopy_keeps_its_own_necks(inputs):
    tower = vision([NECK])
    twin = copy.deepcopy(tower)
    twin.necks[0].num_centers = 2
    twin.necks[0].record = tower.necks[0].record = True
    tower(inputs['imgs']), twin(inputs['imgs'])
    assert tower.necks[0].medoids.shape[1] == 3
    assert twin.necks[0].medoids.shape[1] == 2


def test_checkpointing_gives_the_same_gradients(inputs):
    tower = vision([NECK]).train()
    twin = copy.deepcopy(tower)
    twin.set_grad_checkpointing(True)
    for model in (tower, twin):
        model(inputs['imgs'])[0].square().sum().backward()
    for a, b in zip(tower.parameters(), twin.parameters()):
        torch.testing.assert_close(a.grad, b.grad)


def test_moves_to_another_dtype_with_its_necks(inputs):
    tower = vision([dict(NECK, cluster_embed='clip')]).double()
    assert tower.necks[0].cluster_embed.dtype == torch.float64
    assert tower(inputs['imgs'].double())[0].dtype == torch.float64


def test_runs_under_autocast(inputs):
    with torch.autocast('cpu', dtype=torch.bfloat16):
        features, _ = vision([NECK])(inputs['imgs'])
    assert features.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize('length', [5, 12])
def test_text_is_that_of_clip_with_a_truncated_context(clip, inputs, length):
    tower = MODELS.build(
        dict(type='CLIPTextTower', arch=copy.deepcopy(TINY_ARCH),
             context_length=12)).eval()
    state = {
        key.removeprefix('text.'): value
        for key, value in convert_to_custom_text_state_dict(
            clip.state_dict()).items() if key.startswith('text.')
    }
    assert tower.state_dict().keys() == state.keys()
    state['positional_embedding'] = state['positional_embedding'][:12]
    tower.load_state_dict(state)
    text = inputs['text'][:, -length:]
    padded = torch.nn.functional.pad(text, (0, 16 - length))
    out = tower(text)
    torch.testing.assert_close(
        out.sentence, clip.encode_text(padded), rtol=1e-4, atol=1e-5)
    assert out.words.shape == (5, length, 16)
    assert out.mask.all()


@pytest.mark.parametrize('build, message', [
    (lambda: vision(arch='ViT-B/32'), "got 'ViT-B/32'.*ViT-B-32"),
    (lambda: vision(arch='RN50'), 'RN50.*ResNet.*no transformer blocks'),
    (lambda: vision(arch=dict(embed_dim=4)), "lacks .*'text_cfg'"),
    (lambda: vision(arch=dict(TINY_ARCH, vision_cfg=dict(img_size=3))),
     'vision_cfg: .*img_size'),
    (lambda: vision(arch=dict(TINY_ARCH, vision_cfg=dict(width=100))),
     'head_width 64 must divide the width 100'),
    (lambda: MODELS.build(dict(type='CLIPTextTower', arch='coca_ViT-B-32')),
     'class token'),
    (lambda: vision([dict(NECK, before_block=4)]),
     "before_block must be from 1 to the tower's 3 blocks, got 4"),
    (lambda: MODELS.build(dict(
        type='CLIPTextTower', arch='ViT-B-32', context_length=78)),
     "model's own 77, got 78"),
])
def test_bad_options_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_bad_shapes_are_named(inputs):
    with pytest.raises(InputError, match=r'\(B, T, 3, H, W\), got'):
        vision()(inputs['imgs'][0])
    with pytest.raises(InputError, match=r'\(32, 32\) pixels.*\(16, 32\)'):
        vision()(inputs['imgs'][..., :16, :])
    tower = MODELS.build(dict(type='CLIPTextTower', arch=TINY_ARCH))
    with pytest.raises(InputError, match='17 tokens .* at most 16'):
        tower(torch.ones(1, 17, dtype=torch.long))


@pytest.mark.slow
@torch.no_grad()
def test_vit_base_encodes_real_clips():
    if not (SHARED / 'videos').is_dir():
        pytest.skip('no real clips beside the checkout')
    import decord
    clips = []
    for path in sorted((SHARED / 'videos').glob('*.[ma]*[4i]')):
        reader = decord.VideoReader(str(path), width=224, height=224)
        steps = torch.linspace(0, len(reader) - 1, 12).long().tolist()
        clips.append(torch.from_numpy(reader.get_batch(steps).asnumpy()))
    imgs = torch.stack(clips).permute(0, 1, 4, 2, 3) / 127.5 - 1
    clip = open_clip.create_model('ViT-B-32-quickgelu').eval()
    tower = vision(
        [dict(type='TokenClustering', before_block=7, num_segments=3,
              num_centers=49)], arch='ViT-B-32-quickgelu')
    tower.load_state_dict(clip.visual.state_dict())
    features, _ = tower(imgs)
    assert features.shape == (len(clips), 3, 512)
    assert features.isfinite().all()
    del tower.necks[0]
    expected = clip.visual(imgs.flatten(0, 1))
    assert torch.equal(tower(imgs)[0].flatten(0, 1), expected)


@torch.no_grad()
def test_3d_patches_start_as_the_2d_ones(inputs):
    tower, inflated = vision(), vision(linear_patch='3d')
    state = tower.state_dict()
    inflated.load_state_dict(state, strict=False)
    inflated.inflate_patches()
    torch.testing.assert_close(
        inflated(inputs['imgs'])[0], tower(inputs['imgs'])[0])
    inflated.conv2.weight[:, :, 0] += 1
    assert not torch.allclose(
        inflated(inputs['imgs'])[0], tower(inputs['imgs'])[0])
    with pytest.raises(InputError, match="'2d' or '3d', got '4d'"):
        vision(linear_patch='4d')


@torch.no_grad()
def test_token_shift_works_at_both_places_of_its_block(clip, inputs):
    from mmaction_centerclip.ops import token_shift
    tower = vision([dict(type='TokenShift', before_block=2)])
    tower.load_state_dict(clip.visual.state_dict())

    def shift(x):
        return token_shift(x.unflatten(0, (5, 4))).flatten(0, 1)

    x = clip.visual._embeds(inputs['imgs'].flatten(0, 1))
    first, second, third = clip.visual.transformer.resblocks
    x = shift(first(x))
    x = shift(x + second.attention(second.ln_1(x)))
    x = third(x + second.mlp(second.ln_2(x)))
    expected = clip.visual._pool(x)[0] @ clip.visual.proj
    torch.testing.assert_close(
        tower(inputs['imgs'])[0].flatten(0, 1), expected)


def test_cluster_embedding_starts_from_the_towers_positions(clip):
    tower = vision([dict(NECK, cluster_embed='clip')])
    assert torch.equal(tower.necks[0].cluster_embed,
                       tower.positional_embedding[1:4])
