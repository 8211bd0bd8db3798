"""CLIP's towers, beside what every tower keeps to (test_hosts.py)."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from open_clip.model import CLIP, convert_to_custom_text_state_dict

from mmaction_centerclip.clip.models import clip_config
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


def test_moves_to_another_dtype_with_its_necks(inputs):
    tower = vision([dict(NECK, cluster_embed='clip')]).double()
    assert tower.necks[0].cluster_embed.dtype == torch.float64
    assert tower(inputs['imgs'].double())[0].dtype == torch.float64


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
    (lambda: vision(arch='RN50'), 'RN50.*ResNet.*no tokens to drop'),
    (lambda: vision(arch=dict(embed_dim=4)), "lacks .*'text_cfg'"),
    (lambda: vision(arch=dict(TINY_ARCH, vision_cfg=dict(img_size=3))),
     'vision_cfg: .*img_size'),
    (lambda: vision(arch=dict(TINY_ARCH, vision_cfg=dict(width=100))),
     'head_width 64 must divide the width 100'),
    (lambda: MODELS.build(dict(type='CLIPTextTower', arch='coca_ViT-B-32')),
     'class token'),
    (lambda: MODELS.build(dict(
        type='CLIPTextTower', arch='ViT-B-32', context_length=249)),
     "model's own 77, stretched to 248, got 249"),
])
def test_bad_options_are_named(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_too_many_tokens_are_named():
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
    for path in sorted((SHARED / 'videos').glob('*.[ma]*[4i]'))[:2]:
        reader = decord.VideoReader(str(path), width=224, height=224)
        steps = torch.linspace(0, len(reader) - 1, 12).long().tolist()
        clips.append(torch.from_numpy(reader.get_batch(steps).asnumpy()))
    imgs = torch.stack(clips).permute(0, 1, 4, 2, 3) / 127.5 - 1
    arch = clip_config('ViT-B-32-quickgelu')
    arch['vision_cfg']['layers'] = 7
    visual = CLIP(**dict(copy.deepcopy(arch), text_cfg=TINY_ARCH['text_cfg'])).visual
    tower = vision([dict(type='TokenClustering', before_block=7, num_segments=3,
                         num_centers=49)], arch=arch)
    tower.load_state_dict(visual.state_dict())
    features, _ = tower(imgs)
    assert features.shape == (len(clips), 3, 512)
    assert features.isfinite().all()
    tower.attach([])
    expected = visual.eval()(imgs.flatten(0, 1))
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
    with pytest.raises(InputError, match="'2d', '3d'.*got '4d'"):
        vision(linear_patch='4d')


def test_cluster_embedding_starts_from_the_towers_positions(clip):
    tower = vision([dict(NECK, cluster_embed='clip')])
    assert torch.equal(tower.necks[0].cluster_embed,
                       tower.positional_embedding[1:4])
