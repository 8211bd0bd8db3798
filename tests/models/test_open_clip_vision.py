"""The function that picks the tower of a model of open_clip."""
import copy

import pytest
from mmaction.registry import MODELS

from mmaction_centerclip.clip.arch import vision_tower_type
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import CLIPTimmVisionTower, CLIPVisionTower

from ..conftest import NECK, TINY_ARCH


def with_vision(**vision):
    return dict(copy.deepcopy(TINY_ARCH), vision_cfg=vision)


@pytest.mark.parametrize('arch, cls', [
    ('ViT-B-32-quickgelu', CLIPVisionTower), ('ViT-bigG-14-CLIPA', CLIPVisionTower),
    ('ViT-SO400M-14-SigLIP', CLIPTimmVisionTower), ('EVA02-E-14', CLIPTimmVisionTower),
    ('PE-Core-bigG-14-448', CLIPTimmVisionTower), ('MobileCLIP-B', CLIPTimmVisionTower),
])
def test_the_name_says_the_class(arch, cls):
    assert vision_tower_type(arch) == cls.__name__


def test_builds_the_tower_of_the_retrievers_arch(retriever_cfg):
    cfg = retriever_cfg([NECK])
    cfg['backbone'].update(type='OpenCLIPVisionTower', with_cp=True)
    backbone = MODELS.build(cfg).backbone
    assert type(backbone) is CLIPVisionTower
    assert backbone.with_cp and len(backbone.necks) == 1


@pytest.mark.parametrize('arch, message', [
    ('RN50', 'RN50.*a ResNet.*no tokens'),
    ('convnext_base_w', "\\(convnext_base\\) .*convolutions"),
    ('swin_base_patch4_window7_224', 'in windows'),
    ('ViTamin-L', "\\(vitamin_large_224\\) .*hierarchy"),
    ('MobileCLIP2-S4', "\\(fastvit_mci4\\) .*convolutions"),
    ('vit_relpos_medium_patch16_cls_224', 'bias to its attention'),
    (with_vision(timm_model_name='vit_base'), "timm.list_models.*got 'vit_base'"),
    (with_vision(timm_model_name='deit_tiny_distilled_patch16_224', timm_pool=''),
     'is a VisionTransformerDistilled; hosted are'),
    (with_vision(timm_model_name='resnet18'), "\\(resnet18\\) .*convolutions"),
    (with_vision(timm_model_name='vit_tiny_patch16_224', image_size=32, timm_pool=''),
     r'vit_tiny_patch16_224, \(224, 224\), got \(32, 32\)'),
    (with_vision(timm_model_name='vit_small_patch16_rope_mixed_224', timm_pool=''),
     'differ by block'),
    (with_vision(timm_model_name='eva02_tiny_patch14_224', timm_pool='token',
                 patch_dropout=0.5), 'patch_dropout must be 0 .* got 0.5'),
    (with_vision(timm_model_name='vit_tiny_patch16_224', timm_pool='rot_attn'),
     "'rot_attn' pools a full grid"),
    (with_vision(timm_model_name='vit_tiny_patch16_224', timm_pool='map',
                 timm_proj='linear'), 'Cannot currently add attention pooling'),
    (with_vision(timm_model_name='vit_tiny_patch16_224', timm_pool='', timm_proj=None),
     "timm_pool must be a pooling of .* got ''"),
    (with_vision(timm_model_name='vit_tiny_patch16_224', timm_proj='conv'),
     "timm_proj must be one of .* got 'conv'"),
])
def test_what_no_neck_fits_is_refused_with_the_reason(arch, message):
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(type='OpenCLIPVisionTower', arch=arch))


@pytest.mark.parametrize('cls, arch, message', [
    ('CLIPVisionTower', 'PE-Core-B-16',
     "is a CLIPTimmVisionTower, got CLIPVisionTower; type='OpenCLIPVisionTower'"),
    ('CLIPTimmVisionTower', 'ViT-B-32', 'is a CLIPVisionTower, got CLIPTimm'),
])
def test_the_class_of_another_model_is_named(cls, arch, message):
    with pytest.raises(InputError, match=message):
        MODELS.build(dict(type=cls, arch=arch))


def test_an_option_of_another_tower_is_named():
    with pytest.raises(InputError, match=r"CLIPTimm.*'with_cp'\], got \['linear_patch"):
        MODELS.build(dict(type='OpenCLIPVisionTower', arch='PE-Core-B-16',
                          linear_patch='3d'))


@pytest.mark.parametrize('build', ['OpenCLIPVisionTower', len, 'NoSuchTower'])
def test_a_text_tower_is_not_a_video_tower(retriever_cfg, build):
    """A function's tower is looked at once it is built."""
    cfg = retriever_cfg()
    cfg['text_backbone'] = dict(type=build)
    with pytest.raises(InputError, match='text_backbone: type must be a CLIPTextTower'):
        MODELS.build(cfg)
