"""Weights of every form go back to open_clip's models."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from open_clip.factory import load_checkpoint
from open_clip.model import CLIP, CustomTextCLIP

from mmaction_centerclip.conversion import to_open_clip

from ..reference.reduced_arch import reduced_arch


@torch.no_grad()
@pytest.mark.parametrize('name', [
    'ViT-B-32', 'ViT-B-16-SigLIP', 'ViT-SO400M-16-SigLIP-i18n-256', 'PE-Core-B-16',
    'EVA02-B-16', 'vit_medium_patch16_gap_256'])
def test_open_clip_loads_them_strictly(name, tmp_path):
    arch = reduced_arch(name)
    ours = MODELS.build(dict(
        type='VideoTextRetriever', arch=arch, backbone=dict(type='OpenCLIPVisionTower'),
        text_backbone=dict(type='CLIPTextTower'),
        head=dict(type='MeanPoolingHead'))).eval()
    ours.head.logit_bias = torch.nn.Parameter(torch.tensor(-3.))
    state, dropped = to_open_clip(ours.state_dict())
    assert dropped == []
    config = copy.deepcopy(arch)
    cls = CustomTextCLIP if config.pop('custom_text', False) else CLIP
    theirs = cls(**{**config, 'init_logit_bias': -10}).eval()
    path = str(tmp_path / 'open_clip_model.pt')
    torch.save(state, path)
    load_checkpoint(theirs, path)
    imgs = torch.randn(1, 2, 3, *ours.backbone.image_size)
    text = torch.randint(2, 9, (2, ours.text_backbone.context_length))
    assert torch.equal(ours.backbone.encode(imgs)[0][0], theirs.encode_image(imgs[0]))
    assert torch.equal(ours.text_backbone(text).sentence, theirs.encode_text(text))
    assert theirs.logit_bias.item() == -3
