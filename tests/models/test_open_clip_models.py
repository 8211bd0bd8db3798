"""The models of open_clip: which build, equal to its own, as docs/models.md says."""
import re
from copy import deepcopy
from functools import partial

import open_clip
import pytest
import torch
from mmengine.config import Config
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from torch import nn

from mmaction_centerclip.benchmarking import build_model, count_macs
from mmaction_centerclip.clip.arch import text_arguments, vision_tower_type
from mmaction_centerclip.clip.models import clip_config
from mmaction_centerclip.clip.weights import rename_clip_weights
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, open_clip_vision_tower

from ..paths import ROOT
from ..reference.reduced_arch import reduced_arch

FAMILIES = {
    'CoCa': 'coca_', 'NLLB-CLIP': 'nllb-', 'mT5 text': 'mt5-',
    'XLM-RoBERTa text': 'xlm-roberta', 'RoBERTa text': 'roberta', 'SigLIP 2': 'SigLIP2',
    'SigLIP': 'SigLIP', 'PE-Core': 'PE-Core', 'EVA-CLIP': 'EVA0',
    'MobileCLIP 2': 'MobileCLIP2', 'MobileCLIP': 'MobileCLIP', 'ViTamin': 'ViTamin',
    'ConvNeXt': 'convnext', 'Swin': 'swin', 'ResNet': 'RN', 'CLIPA': 'CLIPA',
    'Meta CLIP 2 (worldwide)': 'worldwide', 'ViT of timm': 'vit_', 'ViT': 'ViT-'}
"""A part that the names of a family have in common; the first that fits counts."""


def tower_or_reason(name):
    """The video tower of an architecture, or why there is none, and which."""
    try:
        tower = vision_tower_type(name)
        text_arguments(name)
        return f'`{tower}`'
    except InputError as error:
        reason = str(error).removeprefix(f'arch {name!r}: ').partition(';')[0]
        return re.sub(r' \(.*?\)', '', reason)


TOWERS = {name: tower_or_reason(name) for name in open_clip.list_models()}
BUILT = [name for name, tower in TOWERS.items() if tower.startswith('`')]
FAST = 'PE-Core-T-16-384', 'ViT-S-16'  # in every run of the tests


def kind_of(name):
    """Return the options and kind of timm's that an architecture has beside sizes."""
    config = clip_config(name)
    kind, _, _ = config['vision_cfg'].get('timm_model_name', '').partition('_patch')
    return (re.sub('_(tiny|small|base|large|giant|giantopt|gigantic)$', '', kind),
            *map(frozenset, (config, config['vision_cfg'], config['text_cfg'])),
            config['text_cfg'].get('pool_type'))


KINDS = {kind_of(name): name for name in [*reversed(BUILT), *FAST]}.values()


def own_model(arch):
    """open_clip's own model, as its factory builds it."""
    config = deepcopy(clip_config(arch))
    cls = CustomTextCLIP if config.pop('custom_text', False) else CLIP
    return cls(**config)


def renamed(model):
    return rename_clip_weights(convert_to_custom_text_state_dict(model.state_dict()))


def towers_of(arch):
    return dict(backbone=open_clip_vision_tower(arch),
                text_backbone=CLIPTextTower(arch))


def test_the_table_of_the_docs():
    """The families, the largest first, those that build before the others."""
    tags = {name: len(open_clip.list_pretrained_tags_by_model(name)) for name in TOWERS}
    rows = {}
    for name, tower in TOWERS.items():
        family = next(family for family, part in FAMILIES.items() if part in name)
        row = rows.setdefault((family, tower), [family, 0, 0, tower])
        row[1:3] = row[1] + 1, row[2] + tags[name]
    ordered = sorted(rows.values(), key=lambda row: (row[3][0] != '`', -row[1], row[0]))
    page = (ROOT / 'docs/models.md').read_text()
    assert ''.join(f'| {" | ".join(map(str, row))} |\n' for row in ordered) in page
    assert (f'{len(BUILT)} of {len(TOWERS)} architectures, and '
            f'{sum(tags[name] for name in BUILT)} of {sum(tags.values())} tags'
            ) in ' '.join(page.split())


@pytest.mark.slow
def test_macs_and_parameters_of_the_docs():
    page = (ROOT / 'docs/models.md').read_text()
    rows = re.findall(r'^\| `(\S+)` \| `(\S+)` \| ([\d.]+) \| ([\d.]+) M \|', page,
                      re.M)
    assert len(rows) >= 16
    counted = {}
    for arch, tag, macs, parameters in rows:
        assert open_clip.pretrained.is_pretrained_cfg(arch, tag)
        if arch not in counted:
            with torch.device('meta'):
                model = build_model(Config(dict(model=dict(
                    type='VideoTextRetriever', arch=arch,
                    backbone=dict(type='OpenCLIPVisionTower'),
                    text_backbone=dict(type='CLIPTextTower'),
                    head=dict(type='MeanPoolingHead')))))
                imgs = torch.empty(1, 12, 3, *model.backbone.image_size)
            counted[arch] = (count_macs(partial(model.backbone, imgs)) / 1e9,
                             sum(p.numel() for p in model.parameters()) / 1e6)
        found = counted[arch]
        assert float(macs) == pytest.approx(found[0], rel=5e-4), arch
        assert float(parameters) == pytest.approx(found[1], abs=.051), arch


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
    for name in KINDS])
@torch.no_grad()
def test_a_model_is_open_clips(name):
    """Keys and shapes at full size, outputs of two blocks to the last bit."""
    with torch.device('meta'):
        theirs = {key: x.shape for key, x in renamed(own_model(name)).items()}
        ours = {f'{part}.{key}': x.shape for part, tower in towers_of(name).items()
                for key, x in tower.state_dict().items()}
    theirs.pop('head.logit_bias', None)
    assert dict(ours, **{'head.logit_scale': torch.Size()}) == theirs

    arch = reduced_arch(name)
    model = own_model(arch).eval()
    for key, parameter in model.named_parameters():
        if parameter.ndim and 'norm' not in key:
            nn.init.normal_(parameter, std=0.2)
    towers, state = towers_of(arch), renamed(model)
    for part, tower in towers.items():
        tower.eval().load_pretrained(
            {key.removeprefix(f'{part}.'): value for key, value in state.items()
             if key.startswith(f'{part}.')}, "open_clip's model")
    vision, text = towers.values()
    imgs = torch.randn(1, 2, 3, *vision.image_size)
    ids = torch.randint(3, 999, (2, text.context_length))
    for got, expected in ((vision.encode(imgs)[0][0], model.encode_image(imgs[0])),
                          (text(ids).sentence, model.encode_text(ids))):
        assert torch.equal(got, expected) and got.isfinite().all()
        assert not torch.equal(got[0], got[1])
