"""Models in small: what is made so, and what stays."""
import timm
from open_clip.model import _build_vision_tower

from mmaction_centerclip.benchmarking import reduced, reduced_arch
from mmaction_centerclip.clip_models import clip_config


def test_sizes_shrink_and_the_rest_stays():
    full, small = clip_config('PE-Core-L-14-336'), reduced_arch('PE-Core-L-14-336', 3)
    assert small['text_cfg'] == dict(
        full['text_cfg'], width=64, heads=2, layers=3)
    name = small['vision_cfg'].pop('timm_model_name')
    assert small['vision_cfg'] == {
        k: v for k, v in full['vision_cfg'].items() if k != 'timm_model_name'}
    trunk = timm.create_model(name, num_classes=0)
    assert len(trunk.blocks) == 3 and trunk.embed_dim == 64
    assert trunk.patch_embed.grid_size == (24, 24) and trunk.attn_pool is not None


def test_the_model_of_timm_is_registered_once_and_the_original_kept():
    names = [reduced_arch('EVA02-B-16', image_size=32)['vision_cfg']['timm_model_name']
             for _ in range(2)]
    assert names[0] == names[1] and timm.is_model(names[0])
    assert all(hasattr(reduced, name) for name in reduced.__all__)
    original = timm.models.model_entrypoint('eva02_base_patch16_clip_224')
    assert original.__module__ == 'timm.models.eva'


def test_a_tower_behind_convolutions_keeps_their_width():
    small = reduced_arch('MobileCLIP-B', width=32)
    tower = _build_vision_tower(small['embed_dim'], small['vision_cfg'])
    assert tower.trunk.embed_dim == 768 and len(tower.trunk.blocks) == 2
    assert small['embed_dim'] == small['text_cfg']['width'] == 32


def test_a_text_tower_of_hugging_face_stays():
    name = 'roberta-ViT-B-32'
    assert reduced_arch(name)['text_cfg'] == clip_config(name)['text_cfg']
