"""Files of open_clip's models of each family, loaded by a retriever."""
import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from open_clip.model import CustomTextCLIP

from mmaction_centerclip.clip.weights import rename_clip_weights

from ..reference.reduced_arch import reduced_arch

FAMILIES = ('ViT-B-16-SigLIP', 'ViT-B-16-SigLIP2', 'PE-Core-B-16', 'EVA02-B-16',
            'EVA01-g-14', 'MobileCLIP2-L-14', 'MobileCLIP-B', 'ViT-L-14-CLIPA',
            'ViT-H-14-worldwide', 'vit_medium_patch16_gap_256', 'ViT-B-32-quickgelu')


def open_clip_model(arch):
    """One with random weights that are seen in its features."""
    options = {k: v for k, v in copy.deepcopy(arch).items() if k != 'custom_text'}
    model = CustomTextCLIP(**options).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim and 'norm' not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def retriever(arch, **options):
    return MODELS.build(dict(
        type='VideoTextRetriever', arch=arch,
        backbone=dict(type='OpenCLIPVisionTower', **options.pop('vision', {})),
        text_backbone=dict(type='CLIPTextTower'), head=dict(type='MeanPoolingHead'),
        **options)).eval()


@torch.no_grad()
@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if 'CLIP' in name else ())
    for name in FAMILIES])
def test_a_file_gives_the_features_of_open_clip(name, tmp_path, monkeypatch):
    arch = reduced_arch(name)
    theirs, path = open_clip_model(arch), str(tmp_path / 'open_clip_model.pt')
    torch.save(theirs.state_dict(), path)
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handle', lines.append)
    ours = retriever(arch, pretrained=path)
    ours.init_weights()
    imgs = torch.randn(1, 2, 3, *ours.backbone.image_size)
    text = torch.randint(2, 9, (2, ours.text_backbone.context_length))
    segments, _ = ours.encode_video(dict(imgs=imgs))
    assert torch.equal(segments[0], theirs.encode_image(imgs[0]))
    assert segments.std(dim=1).max() > 1e-2  # of two frames, two features
    sentences = ours.text_backbone(text).sentence
    assert torch.equal(sentences, theirs.encode_text(text))
    assert torch.equal(ours.head.logit_scale, theirs.logit_scale)
    left_out = [x.getMessage() for x in lines if 'left out' in x.getMessage()]
    if theirs.logit_bias is None or ours.head.logit_bias is not None:
        assert not left_out
    else:
        assert len(left_out) == 1 and 'logit_bias of -10.00' in left_out[0]


def test_a_bias_goes_to_the_head_that_has_one(tmp_path):
    arch = reduced_arch('ViT-B-16-SigLIP')
    theirs, path = open_clip_model(arch), str(tmp_path / 'open_clip_model.pt')
    state = theirs.state_dict()
    assert rename_clip_weights(state)['head.logit_bias'].item() == -10
    ours = retriever(arch, pretrained=path)
    ours.head.logit_bias = torch.nn.Parameter(torch.zeros(()))
    torch.save(dict(state, logit_bias=state['logit_bias'][None]), path)
    ours.init_weights()
    assert ours.head.logit_bias.item() == -10
    # A file without one leaves what the head starts with.
    del state['logit_bias']
    torch.save(state, path)
    torch.nn.init.constant_(ours.head.logit_bias, -3)
    ours.init_weights()
    assert ours.head.logit_bias.item() == -3
