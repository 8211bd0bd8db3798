"""A video tower that is no CLIP's: its projection, and weights of its own."""
import pytest
import torch
from mmaction.models.backbones import VisionTransformer as VideoMAE
from mmaction.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import MMLogger
from open_clip.model import CLIP
from timm.models.vision_transformer import VisionTransformer

from mmaction_centerclip.errors import InputError

from ..conftest import NECK, TINY_ARCH

SIZES = dict(img_size=32, patch_size=16, embed_dims=24, depth=3, num_heads=2,
             mlp_ratio=2, num_frames=4, qkv_bias=True)


@pytest.fixture
def cfg(retriever_cfg):
    cfg = retriever_cfg(video_projection=True)
    cfg['backbone'] = dict(type='VideoMAETower', necks=[NECK], **SIZES)
    return cfg


@pytest.fixture
def files(tmp_path):
    """A CLIP, and a recogniser's checkpoint with a VideoMAE."""
    mae = VideoMAE(**SIZES)
    for parameter in mae.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    state = {f'backbone.{key}': value for key, value in mae.state_dict().items()}
    state['cls_head.fc_cls.weight'] = torch.zeros(4, 24)
    torch.save(dict(state_dict=state), tmp_path / 'mae.pth')
    clip = CLIP(**TINY_ARCH)
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    return clip, mae, str(tmp_path / 'clip.pt'), str(tmp_path / 'mae.pth')


def test_features_are_projected(cfg, inputs):
    model = MODELS.build(cfg).eval()
    segments = model(inputs)['segments']
    features, _ = model.backbone.encode(inputs['imgs'])
    # Four frames are two tubelets of two segments.
    assert segments.shape == (5, 2, 16) and features.shape == (5, 2, 24)
    torch.testing.assert_close(segments, torch.einsum(
        'bsc,ec->bse', features, model.state_dict()['video_projection.weight']))
    model.parse_losses(model.train()(inputs, mode='loss'))[0].backward()
    assert model.video_projection.weight.grad.any()
    assert model.backbone.patch_embed.projection.weight.grad.any()


def test_the_projection_is_new_and_nothing_else_has_changed(cfg, build_retriever):
    plain = build_retriever().state_dict().keys()
    model = build_retriever(video_projection=True)
    assert model.state_dict().keys() - plain == {'video_projection.weight'}
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
        type='CLIPOptimWrapperConstructor',
        optim_wrapper_cfg=dict(optimizer=dict(type='AdamW', lr=1.))))(model)
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups
             for p in group['params']}
    assert {name: rates[id(p)] for name, p in model.named_parameters()} == {
        name: 1. if name == 'video_projection.weight' else 1e-3
        for name, _ in model.named_parameters()}


def test_another_width_names_the_option(cfg):
    cfg['video_projection'] = False
    with pytest.raises(InputError, match='24 dim.* 16 .* or video_projection=True'):
        MODELS.build(cfg)


def test_text_and_video_come_from_their_own_files(cfg, files, tmp_path):
    clip, mae, pretrained, video_pretrained = files
    model = MODELS.build(dict(
        cfg, pretrained=pretrained, video_pretrained=video_pretrained))
    model.init_weights()
    for key, value in mae.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value), key
    assert torch.equal(model.text_backbone.ln_final.weight, clip.ln_final.weight)
    assert torch.equal(model.text_backbone.text_projection, clip.text_projection)
    # A retriever's own checkpoint has all of it, the projection included.
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'retriever.pth')
    again = MODELS.build(dict(cfg, pretrained=str(tmp_path / 'retriever.pth')))
    again.init_weights()
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_weights_of_timm_have_their_own_keys(retriever_cfg, inputs, tmp_path):
    sizes = dict(img_size=32, patch_size=16, embed_dim=24, depth=2, num_heads=2,
                 num_classes=0)
    stock = VisionTransformer(**sizes).eval()
    torch.save(stock.state_dict(), tmp_path / 'timm.pth')
    cfg = retriever_cfg(video_projection=True,
                        video_pretrained=str(tmp_path / 'timm.pth'))
    cfg['backbone'] = dict(type='TimmVisionTower', **sizes)
    model = MODELS.build(cfg).eval()
    model.init_weights()
    features, _ = model.backbone.encode(inputs['imgs'])
    assert torch.equal(features.flatten(0, 1), stock(inputs['imgs'].flatten(0, 1)))


def test_what_comes_from_which_file_is_logged(cfg, files, caplog):
    _, _, pretrained, video_pretrained = files
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    MODELS.build(dict(
        cfg, pretrained=pretrained, video_pretrained=video_pretrained)).init_weights()
    logger.removeHandler(caplog.handler)
    assert 'its video tower is not used, for video_pretrained' in caplog.text
    assert (f'Loaded the video tower, VideoMAETower, from {video_pretrained}, '
            "without its ['cls_head']") in caplog.text


@pytest.mark.parametrize('video, message', [
    (None, 'another kind of video tower than VideoMAETower; .* video_pretrained'),
    ('no.pth', 'no such file: no.pth'),
    ('clip', 'video_pretrained=.* does not fit VideoMAETower: missing'),
])
def test_nothing_starts_from_random_weights_unasked(cfg, files, video, message):
    _, _, pretrained, _ = files
    video = pretrained if video == 'clip' else video
    model = MODELS.build(dict(cfg, pretrained=pretrained, video_pretrained=video))
    with pytest.raises(InputError, match=message):
        model.init_weights()
