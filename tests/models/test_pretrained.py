"""Weights that a retriever starts from, and those that it refuses."""
import copy

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from open_clip.model import CLIP

from mmaction_centerclip.clip.weights import stretch_positions
from mmaction_centerclip.errors import InputError

from ..conftest import NECK, TINY_ARCH


@pytest.fixture
def clip():
    return CLIP(**copy.deepcopy(TINY_ARCH)).eval()


@pytest.mark.parametrize('kind', ['open_clip', 'retriever', 'half'])
def test_pretrained_file(build_retriever, clip, inputs, tmp_path, kind):
    state = clip.state_dict()
    if kind == 'half':
        state = dict(state_dict={k: v.half() for k, v in state.items()})
    path = str(tmp_path / 'clip.pt')
    torch.save(state, path)
    if kind == 'retriever':
        model = build_retriever(pretrained=path)
        model.init_weights()
        torch.save(dict(state_dict=model.state_dict()), path)
    model = build_retriever([NECK], pretrained=path)
    model.init_weights()
    rtol = dict(rtol=1e-2, atol=1e-2) if kind == 'half' else {}
    torch.testing.assert_close(
        model.text_backbone.positional_embedding,
        clip.positional_embedding[:12], **rtol)
    torch.testing.assert_close(model.backbone.conv1.weight,
                               clip.visual.conv1.weight, **rtol)
    torch.testing.assert_close(model.head.logit_scale, clip.logit_scale,
                               **rtol)


def test_openai_archive(build_retriever, clip, tmp_path):

    class Archive(torch.nn.Module):
        """Weights under CLIP's names, and facts beside them."""

        def __init__(self):
            super().__init__()
            self.visual, self.transformer = clip.visual, clip.transformer
            self.token_embedding = clip.token_embedding
            self.ln_final = clip.ln_final
            self.positional_embedding = clip.positional_embedding
            self.text_projection = clip.text_projection
            self.logit_scale = clip.logit_scale
            self.register_buffer('context_length', torch.tensor(16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.ln_final(x)

    path = str(tmp_path / 'archive.pt')
    torch.jit.trace(Archive(), torch.zeros(1, 32)).save(path)
    with pytest.raises(InputError, match='QuickGELU'):
        build_retriever(pretrained=path).init_weights()
    model = build_retriever(pretrained=path)
    model.arch['quick_gelu'] = True
    model.init_weights()
    assert torch.equal(model.backbone.proj, clip.visual.proj)


def test_pretrained_of_another_kind_is_named(build_retriever, clip, tmp_path):
    path = str(tmp_path / 'other.pt')

    def load():
        build_retriever(pretrained=path).init_weights()

    with pytest.raises(InputError, match='a file or one of the tags .*other'):
        load()
    (tmp_path / 'other.pt').write_text('not a checkpoint')
    with pytest.raises(InputError, match='other.pt: not a readable'):
        load()
    torch.save(dict(weights=clip.state_dict(), epoch=3), path)
    with pytest.raises(InputError, match="not a state dict.*'epoch', 'weights'"):
        load()
    torch.save({}, path)
    with pytest.raises(InputError, match='not a state dict, it holds'):
        load()
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(InputError, match='missing .* not part of the model'):
        load()
    state = clip.state_dict()
    state['visual.proj'] = torch.zeros(32, 8)
    torch.save(state, path)
    with pytest.raises(InputError, match=r'proj has the shape \(32, 8\)'):
        load()


def test_a_bias_that_the_weights_lack_keeps_its_start(retriever_cfg, clip, tmp_path):
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    cfg = retriever_cfg(pretrained=str(tmp_path / 'clip.pt'))
    cfg['head'] = dict(type='MeanPoolingHead', init_logit_bias=-10.)
    model = MODELS.build(cfg)
    model.init_weights()
    assert model.head.logit_bias == -10
    torch.testing.assert_close(model.head.logit_scale, clip.logit_scale)
    # A retriever's own weights bring theirs along.
    model.head.logit_bias.data.fill_(-7)
    torch.save(model.state_dict(), tmp_path / 'retriever.pth')
    model = MODELS.build(dict(cfg, pretrained=str(tmp_path / 'retriever.pth')))
    model.init_weights()
    assert model.head.logit_bias == -7


@pytest.mark.parametrize('tag, message', [
    ('openai', 'another activation.*use arch .ViT-B-32-quickgelu'),
    ('nothing', "tags that open_clip has for arch 'ViT-B-32'.*'nothing'"),
])
def test_pretrained_tag_must_fit_the_arch(tag, message):
    from mmaction_centerclip.clip.weights import read_clip_weights
    with pytest.raises(InputError, match=message):
        read_clip_weights(tag, 'ViT-B-32')


@pytest.mark.parametrize('tag, arch, refused', [
    ('laion2b_s32b_b82k', 'ViT-L-14', r'\[127.5, .* has .*: \[122.771, '),
    ('datacomp1b', 'ViT-L-14-CLIPA', r'\[123.675, .* has .*: \[122.771, '),
    ('openai', 'ViT-B-32', ''),
])
def test_a_tag_is_refused_before_it_is_fetched_for_other_pictures(
        retriever_cfg, tag, arch, refused):
    """The normalisation that its weights were trained with is known."""
    cfg = retriever_cfg(pretrained=tag)
    model = MODELS.build(cfg)
    model.arch = arch  # of the tag, whose towers need not be built
    message = (f"'{tag}' for arch '{arch}' was trained with .*{refused}"
               if refused else 'another activation')  # which is looked at next
    with pytest.raises(InputError, match=message):
        model.init_weights()


LONG = dict(TINY_ARCH, quick_gelu=True, text_cfg=dict(
    TINY_ARCH['text_cfg'], context_length=77))


@pytest.fixture
def longer(retriever_cfg, tmp_path, monkeypatch):
    """Load a state dict into a retriever of some context; the model, and the log."""

    def load(state, length, arch=LONG):
        torch.save(state, tmp_path / 'clip.pt')
        said = []
        for module in ('weights', 'feature_settings'):
            monkeypatch.setattr(f'mmaction_centerclip.clip.{module}.print_log',
                                lambda text, *_: said.append(text))
        model = MODELS.build(dict(
            retriever_cfg(pretrained=str(tmp_path / 'clip.pt')), arch=arch,
            text_backbone=dict(type='CLIPTextTower', context_length=length)))
        model.init_weights()
        return model.eval(), [text for text in said if 'stretched' in text]

    return load


@torch.no_grad()
def test_captions_beyond_clips_77_tokens_take_stretched_positions(longer):
    clip = CLIP(**copy.deepcopy(LONG))
    torch.nn.init.normal_(clip.token_embedding.weight, std=0.3)
    model, said = longer(clip.state_dict(), 248)
    tower, positions = model.text_backbone, clip.positional_embedding
    assert len(said) == 1 and 'clip.pt' in said[0] and '77' in said[0]
    assert '248' in said[0]
    assert torch.equal(tower.positional_embedding, stretch_positions(positions))
    tokenize = TRANSFORMS.build(dict(
        type='OpenCLIPTokenize', model=LONG, context_length=248))
    captions = ['a dog ' * 40 + word for word in ('red', 'blue')]
    features = tower(tokenize(dict(text=captions))['text']).sentence
    assert not torch.allclose(*features, atol=1e-3)
    tokenize.context_length = 77
    assert torch.equal(*tower(tokenize(dict(text=captions))['text']).sentence)
    # Those of a checkpoint are not stretched again; others still are cut, silently.
    for state, length in ((model.state_dict(), 248), (model.state_dict(), 100),
                          (clip.state_dict(), 77), (clip.state_dict(), 12)):
        other, said = longer(state, length)
        expected = state.get('positional_embedding', tower.positional_embedding)
        assert torch.equal(other.text_backbone.positional_embedding, expected[:length])
        assert not said
    cut, _ = longer(clip.state_dict(), 32)
    with pytest.raises(InputError, match=r'shape \(32, 32\), expected \(248, 32\)'):
        longer(cut.state_dict(), 248)


def test_a_long_clip_is_read_as_it_is(longer):
    clip = CLIP(**copy.deepcopy(LONG))
    stretched = stretch_positions(clip.positional_embedding)
    trained = torch.cat([torch.randn(20, 32), stretched[20:] + 1])
    state = dict(clip.state_dict(), positional_embedding=stretched,
                 positional_embedding_res=trained)
    model, said = longer(state, 248)
    assert not said
    assert torch.equal(model.text_backbone.positional_embedding,
                       torch.cat([stretched[:20], trained[20:]]))
    damaged = dict(state, positional_embedding=torch.tensor(1.))
    with pytest.raises(InputError, match=r'one shape, .* got \(\) and \(248, 32\)'):
        longer(damaged, 248)
    del damaged['positional_embedding_res']
    with pytest.raises(InputError, match=r'the shape \(\), expected \(248, 32\)'):
        longer(damaged, 248)
    with pytest.raises(InputError, match='a Long-CLIP, .* with QuickGELU'):
        longer(state, 248, dict(LONG, quick_gelu=False))
