"""Towers of timm, beside what every tower keeps to (test_hosts.py)."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from open_clip.model import CustomTextCLIP

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import CLIPTimmVisionTower, TokenNeck

from ..reference.reduced_arch import reduced_arch
from .selections import record_selections
from .test_hosts import NECK

SMALL = dict(layers=3, width=32, image_size=32, patch_size=16)
ROTARY = reduced_arch('PE-Core-B-16', **SMALL)


def rotations(tower, imgs):
    """The rotary embedding that each block gets, and where one gets none."""
    seen = []
    hooks = [block.attn.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs['rope']), with_kwargs=True)
        for block in tower.tower_blocks()]
    tower.encode(imgs)
    for hook in hooks:
        hook.remove()
    return seen


@torch.no_grad()
@pytest.mark.parametrize('aggregation', ['medoid', 'mean'])
def test_a_cluster_has_the_place_of_its_center(imgs, aggregation):
    tower = CLIPTimmVisionTower(ROTARY, [dict(NECK, aggregation=aggregation)])
    selections = record_selections(tower.necks[0])
    first, *others = rotations(tower.eval(), imgs)
    places = tower.trunk.rope.get_embed()
    assert torch.equal(first, places)
    (medoids, _), = selections  # of 2 segments of 3 videos, of 4 * 4 tokens
    assert medoids.max() >= 4
    for rope in others:
        assert rope.shape == (6, 1, 3, 32)
        for segment in range(6):
            for k in range(3):
                assert torch.equal(rope[segment, 0, k],
                                   places[medoids[segment, k] % 4])


@torch.no_grad()
def test_a_mean_over_frames_has_the_place_of_the_first(imgs):
    mean = dict(type='SegmentMeanPooling', before_block=2, num_segments=2)
    tower = CLIPTimmVisionTower(ROTARY, [mean]).eval()
    places = tower.trunk.rope.get_embed()
    assert torch.equal(rotations(tower, imgs)[1], places.expand(6, 1, -1, -1))
    # Of clusters, whose tokens are at other places in each frame.
    tower = CLIPTimmVisionTower(ROTARY, [dict(NECK, num_segments=4), mean]).eval()
    selections = record_selections(tower.necks[0])
    rope = rotations(tower, imgs)[1]
    firsts = selections[0][0].unflatten(0, (3, 2, 2))[:, :, 0].flatten(0, 1) % 4
    assert torch.equal(rope, places[firsts][:, None])


class _Half(TokenNeck):
    """Keep half of the tokens, and not where they come from."""

    def forward(self, tokens):
        return tokens.replace(patches=tokens.patches[:, :, ::2], positions=None)


def test_a_neck_that_forgets_the_positions_is_named(imgs):
    half = dict(type=_Half, before_block=2)
    with pytest.raises(InputError, match='positions .* rotary.* of 4 for 2 tokens'):
        CLIPTimmVisionTower(ROTARY, [half]).encode(imgs)
    # Where none are read, none are missed.
    tower = CLIPTimmVisionTower(reduced_arch('EVA02-E-14', **SMALL), [half])
    assert tower.encode(imgs)[0].shape == (3, 8, 32)


@torch.no_grad()
@pytest.mark.parametrize('timm_name, pool', [
    ('vit_small_patch16_dinov3', 'avg'),  # halves of channels, any frame size
    ('vit_base_patch16_rope_ape_224', 'token'),
])
def test_other_models_of_timm_are_hosted_too(timm_name, pool):
    arch = dict(embed_dim=32, text_cfg={}, vision_cfg=dict(
        timm_model_name=timm_name, timm_pool=pool, timm_proj='linear',
        image_size=32))
    arch = reduced_arch(arch, image_size=32, width=32)
    tower = CLIPTimmVisionTower(arch).eval()
    stock = CustomTextCLIP(**copy.deepcopy(arch)).visual.eval()
    stock.load_state_dict(tower.state_dict())
    imgs = torch.randn(2, 2, 3, *tower.image_size)
    assert torch.equal(tower(imgs)[0].flatten(0, 1), stock(imgs.flatten(0, 1)))
    clustered = CLIPTimmVisionTower(
        arch, [dict(NECK, num_segments=1, num_centers=2)]).eval()
    assert clustered(imgs)[0].shape == (2, 1, arch['embed_dim'])


@pytest.mark.parametrize('frozen', [False, True])
def test_frozen_batch_norms_keep_their_statistics(frozen):
    tower = CLIPTimmVisionTower(reduced_arch('MobileCLIP-B', image_size=32))
    tower.freeze(0 if frozen else -1)
    imgs = torch.randn(1, 2, 3, 32, 32)
    before = copy.deepcopy(dict(tower.named_buffers()))
    tower.train().encode(imgs)
    changed = [k for k, v in tower.named_buffers() if not torch.equal(v, before[k])]
    assert bool(changed) != frozen
    assert tower.trunk.blocks.training


@torch.no_grad()
def test_another_dtype_moves_the_rotary_embedding(imgs):
    tower = CLIPTimmVisionTower(ROTARY, [NECK]).eval()
    single, _ = tower.encode(imgs)
    double, _ = tower.double().encode(imgs.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-5)


def test_weights_of_the_image_tower_alone_are_not_fetched():
    """open_clip would, for a config that asks for timm's own."""
    arch = reduced_arch('ViT-B-16-SigLIP')
    arch['vision_cfg']['timm_model_pretrained'] = True
    assert MODELS.build(dict(type='CLIPTimmVisionTower', arch=arch)).embed_dims == 64
