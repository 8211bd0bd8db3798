import copy
import re

import pytest
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from open_clip.model import CLIP, convert_to_custom_text_state_dict

from mmaction_centerclip.conversion import SOURCES as KINDS
from mmaction_centerclip.conversion import Source
from mmaction_centerclip.engine.config import prepare_config

from .foreign_checkpoints import ARCH, huggingface, prefixed


@pytest.fixture
def clip():
    return CLIP(**copy.deepcopy(ARCH)).eval()


@pytest.fixture
def convert(run_tool, tmp_path):
    """Run a converter; what it printed, or its error."""

    def run(source, *options, target='out.pth', name='any_to_mmaction'):
        path = tmp_path / 'source.pt'
        if source is not None:
            torch.save(source, path)
        return run_tool(f'model_converters/{name}.py', path, '--out',
                        tmp_path / target, *options)

    return run


SOURCES = {
    'openai': lambda clip: clip.state_dict(),
    'openai half': lambda clip: {
        k: v.half() for k, v in clip.state_dict().items()},
    'clip4clip': prefixed,
    'centerclip': lambda clip: dict(
        state_dict={f'module.{k}': v for k, v in prefixed(clip).items()},
        epoch=3),
    'clipsimilarity': lambda clip: dict(
        state_dict=prefixed(clip), meta=dict(epoch=1)),
    'huggingface': huggingface,
}


@torch.no_grad()
@pytest.mark.parametrize('name', SOURCES)
def test_converts_and_round_trips(convert, clip, tmp_path, name):
    half = name.endswith('half')
    printed = convert(SOURCES[name](clip), '--write-config', tmp_path / 'out.py',
                      *['--centerclip'] * (name == 'centerclip'))
    assert '0 keys of the model keep their start' in printed
    cfg = Config.fromfile(tmp_path / 'out.py')
    sizes = cfg.model.arch
    for part in ('vision_cfg', 'text_cfg'):
        assert {k: sizes[part][k] for k in ARCH[part]} == ARCH[part]
    assert sizes.embed_dim == 16 and sizes.quick_gelu
    model = MODELS.build(cfg.model).eval()
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    model.load_state_dict(saved)
    frames = torch.randn(2, 3, 3, 64, 64)
    tolerance = dict(rtol=0.1, atol=0.1) if half else dict(rtol=0, atol=0)
    torch.testing.assert_close(
        model.backbone(frames)[0].flatten(0, 1),
        clip.visual(frames.flatten(0, 1)), **tolerance)
    text = torch.randint(1, 499, (2, 16))
    tolerance = tolerance if half else dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        model.text_backbone(text).sentence, clip.encode_text(text), **tolerance)

    printed = convert(dict(state_dict=saved), target='back.pt',
                      name='mmaction_to_open_clip')
    assert '0 of ' in printed
    back = torch.load(tmp_path / 'back.pt', weights_only=True)['state_dict']
    assert back.keys() == clip.state_dict().keys()
    for key, value in clip.state_dict().items():
        expected = value.half().float() if half else value
        assert torch.equal(back[key], expected), key


@torch.no_grad()
@pytest.mark.parametrize('options, eps', [([], 1e-12), (['--centerclip'], 1e-5)])
@pytest.mark.parametrize('head, names', [
    (dict(type='SequentialTransformerHead', num_layers=2, max_segments=20),
     {'transformer.': 'transformerClip.',
      'position_embedding': 'frame_position_embeddings.weight'}),
    (dict(type='SequentialLSTMHead'), {'lstm.': 'lstm_visual.'}),
    (dict(type='TightTransformerHead', num_layers=2, max_positions=20),
     {'transformer.': 'cross.transformer.',
      'position_embedding': 'cross.embeddings.position_embeddings.weight',
      'ln_pool.': 'cross.pooler.ln_pool.', 'dense.': 'cross.pooler.dense.',
      'similarity_dense.': 'similarity_dense.'}),
], ids=lambda x: x.get('type', ''))
def test_clip4clips_heads(convert, clip, tmp_path, head, names, options,
                          eps):
    model = MODELS.build(dict(head, embed_dims=16))
    theirs = prefixed(clip)
    for key, value in model.state_dict().items():
        for ours, other in names.items():
            if key.startswith(ours):
                theirs[other + key[len(ours):]] = value
    if 'lstm' in str(names):  # CLIP4Clip has positions that it does not use.
        theirs['frame_position_embeddings.weight'] = torch.randn(20, 16)
    printed = convert(theirs, '--write-config', tmp_path / 'out.py', *options)
    unused = 'lstm' in str(names)
    assert f'{int(unused)} keys of the file have no place' in printed
    cfg = Config.fromfile(tmp_path / 'out.py').model.head
    assert {k: cfg[k] for k in head} == head and cfg.embed_dims == 16
    assert cfg.get('layer_norm_eps', eps) == eps
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    for key, value in model.state_dict().items():
        if key != 'logit_scale':
            assert torch.equal(saved[f'head.{key}'], value), key


@pytest.mark.parametrize('options, places', [
    (['--frames', '8,4,2', '--num-centers', '10,5'], [(2, 4, 10), (3, 2, 5)]),
    (['--frames', '8,8,2', '--tokens', '16,14,9'], [(2, 8, 14), (3, 2, 9)]),
    (['--frames', '4,4,2', '--num-frames', '8', '--num-centers', '9,5'],
     [(1, 4, 9), (3, 2, 5)]),
    (['--before-block', '2', '--num-segments', '2', '--num-centers', '9'],
     [(2, 2, 9)]),
    ([], []),
])
def test_centerclip_options(convert, clip, tmp_path, options, places):
    convert(prefixed(clip), '--p', '1', '--write-config', tmp_path / 'out.py', *options)
    cfg = Config.fromfile(tmp_path / 'out.py')
    necks = cfg.model.backbone.necks
    assert places == [
        (n.before_block, n.num_segments, n.num_centers) for n in necks]
    assert all(n.type == 'TokenClustering' and n.p == 1 for n in necks)
    frames = 8 if '--frames' in options else 12
    assert cfg.test_dataloader.dataset.pipeline[1].clip_len == frames
    prepare_config(cfg)
    resize = TRANSFORMS.build(cfg.test_dataloader.dataset.pipeline[3])
    assert resize.steps[-1].crop_size == (64, 64)
    MODELS.build(cfg.model)


def test_centerclip_embedding_tells_its_place(convert, clip, tmp_path):
    state = prefixed(clip)
    embedding = torch.randn(7, 64)
    state['clip.visual.transformer.resblocks.1.tokencluster_inter.'
          'cluster_embed'] = embedding
    said = convert(state, '--centerclip')
    assert re.match(r'error: .* 7 centers in front of block 2', said)
    options = ['--before-block', 2, '--num-segments', 2]
    said = convert(state, *options, '--num-centers', 8)
    assert re.match('error: .* 7 centers .* got --num-centers 8', said)
    convert(state, *options)
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert torch.equal(saved['backbone.necks.0.cluster_embed'], embedding)


@pytest.mark.parametrize('source, options, message', [
    ('huggingface', ['--centerclip'],
     "Hugging Face's CLIPModel, expected CLIP4Clip or CenterCLIP or a CLIP of OpenAI"),
    ('clip4clip', ['--frames', '4,4,2'], '--num-centers is required.* block 3'),
    ('clip4clip', ['--frames', '4,4,2', '--before-block', 3], 'one or the other'),
    ('clip4clip', ['--before-block', '2,3', '--num-segments', 3], 'as many'),
    ('clip4clip', ['--frames', '4,2', '--num-centers', 3],
     'has 3 blocks .* got settings for 2'),
    ('clip4clip', ['--frames', '12,12,5'], 'divisor, got 12 and then 5 at block 3'),
    ('clip4clip', ['--frames', '4,8,4'], 'divisor, got 4 and then 8 at block 2'),
    ('clip4clip', ['--algorithm', 'spectral', '--pre-norm'],
     '--pre-norm does not go with'),
    ('openai', ['--write-config', 'no/out.py'], 'there is no folder no'),
    ('openai', ['--write-config', 'out'], 'must name a .py file'),
    ('openai', ['--write-config', 'out.py', '--base-config', 'no.py'],
     'no such file: no.py'),
    ('openai', ['--head-width', 48], 'head, 48, must divide the vision width 64'),
])
def test_bad_input_is_named(convert, clip, tmp_path, source, options, message):
    said = convert(SOURCES[source](clip), *options)
    assert re.match(f'error: .*{message}', said)
    assert not (tmp_path / 'out.pth').exists()


def test_a_checkpoint_of_others_is_none_of_ours(convert, clip):
    said = convert(clip.state_dict(), name='mmaction_to_open_clip')
    assert re.match('error: .*not the weights of a', said)


@pytest.mark.parametrize('algorithm, kind', [
    ('spectral', 'SpectralTokenClustering'), ('pooling', 'SegmentMeanPooling'),
    ('sparse_sampling', 'SparseTokenSampling'), ('token_shift', 'TokenShift'),
    ('temporal_shift', 'TemporalShift')])
def test_centerclip_algorithms(convert, clip, tmp_path, algorithm, kind):
    convert(prefixed(clip), '--write-config', tmp_path / 'out.py', '--frames', '4,4,2',
            '--num-centers', 3, '--algorithm', algorithm)
    neck, = Config.fromfile(tmp_path / 'out.py').model.backbone.necks
    assert (neck.type, neck.before_block) == (kind, 3)


def test_incomplete_towers_and_resnets_are_refused(convert, clip):
    state = prefixed(clip)
    lost = 'visual.transformer.resblocks.1.attn.out_proj.weight'
    del state[f'clip.{lost}']
    said = convert(state)
    assert re.match(f'error: .*does not fit .*: missing .*{lost[7:]}', said)
    said = convert({
        'visual.conv1.weight': torch.zeros(1),
        'visual.layer1.0.conv1.weight': torch.zeros(1)})
    assert re.match('error: .*ResNet', said)


def test_strangers_are_named_and_nothing_is_overwritten(convert, clip,
                                                        tmp_path):
    said = convert(torch.nn.Linear(2, 2).state_dict())
    assert re.match("error: .*none of the known kinds.*'bias', 'weight'", said)
    state = dict(prefixed(clip), **{'similarity_dense.weight': torch.ones(2)})
    printed = convert(state)
    assert '1 keys of the file have no place\n  similarity_dense' in printed
    said = convert(state)
    assert re.match('error: .*out.pth exists already', said)


def test_a_source_is_one_entry(convert, clip, tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, 'theirs', Source(
        "somebody else's CLIP", lambda keys: any(k.startswith('x.') for k in keys),
        lambda state: {k.removeprefix('x.'): v for k, v in state.items()}))
    state = {f'x.{k}': v for k, v in clip.state_dict().items()}
    printed = convert(state)
    assert "source.pt: somebody else's CLIP" in printed
    assert '0 keys of the model keep their start' in printed
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert saved['meta']['converted_from'] == 'theirs'
    assert torch.equal(saved['state_dict']['backbone.proj'], clip.visual.proj)
    said = convert(state, '--centerclip', target='other.pth')
    assert re.match("error: .*holds somebody else's CLIP, expected CLIP4Clip or", said)


def test_a_killed_converter_leaves_nothing_in_the_way(convert, clip, tmp_path,
                                                      monkeypatch):
    save, state = torch.save, prefixed(clip)
    options = ['--write-config', tmp_path / 'out.py']

    def killed(content, path):
        if str(path).endswith('source.pt'):
            return save(content, path)
        with open(path, 'wb') as file:
            file.write(b'half')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'save', killed)
        with pytest.raises(KeyboardInterrupt):
            convert(state, *options)
        with pytest.raises(KeyboardInterrupt):
            convert({'text_backbone.positional_embedding': torch.ones(1)},
                    target='back.pt', name='mmaction_to_open_clip')
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & {'out.pth', 'out.py', 'back.pt'}
    assert 'Wrote ' in convert(state, *options)
    assert (tmp_path / 'out.py').exists()


def test_a_bad_base_config_leaves_nothing(convert, clip, tmp_path):
    bad = tmp_path / 'bad.py'
    bad.write_text('model = dict()')
    said = convert(clip.state_dict(), '--write-config',
                   tmp_path / 'out.py', '--base-config', bad)
    assert re.match("error: .*bad.py: not a retriever's config: .*text_backbone", said)
    assert not list(tmp_path.glob('out.*'))


def test_a_retriever_needs_no_conversion(convert, clip, tmp_path):
    convert(clip.state_dict())
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)
    said = convert(saved, target='again.pth')
    assert re.match('error: .* holds a retriever of this project, which needs', said)


def test_openai_archive(convert, clip, tmp_path):
    frames = torch.zeros(1, 3, 64, 64)
    torch.jit.trace(clip, (frames, torch.zeros(1, 16).long()),
                    check_trace=False).save(str(tmp_path / 'source.pt'))
    printed = convert(None)
    assert '0 keys of the model keep their start' in printed


@torch.no_grad()
@pytest.mark.parametrize('half', [False, True])
def test_long_clip(convert, tmp_path, half):
    arch = copy.deepcopy(ARCH)
    arch['text_cfg'].update(context_length=99, vocab_size=49408)
    clip = CLIP(**arch).eval()
    torch.nn.init.normal_(clip.token_embedding.weight, std=0.3)
    places, state = clip.positional_embedding.data.clone(), clip.state_dict()
    # As its model adds them up; what its masks hide is as it came from CLIP.
    stale, trained = torch.randn(99, 64), torch.randn(99, 64)
    stale[:20], trained[20:] = places[:20], places[20:]
    state.update(positional_embedding=stale, positional_embedding_res=trained)
    printed = convert({k: v.half() if half else v for k, v in state.items()},
                      '--write-config', tmp_path / 'out.py', '--num-centers', 4,
                      '--before-block', 2, '--num-segments', 2)
    assert '0 keys of the file have' in printed
    printed = convert(None, '--write-config', tmp_path / 'plain.py', target='plain.pth')
    assert 'source.pt: Long-CLIP' in printed
    assert '0 keys of the file have' in printed
    for name in ('out', 'plain'):
        saved = torch.load(tmp_path / f'{name}.pth', weights_only=True)['state_dict']
        torch.testing.assert_close(saved['text_backbone.positional_embedding'], places,
                                   rtol=1e-3 * half, atol=1e-3 * half)
    cfg = prepare_config(Config.fromfile(tmp_path / 'plain.py'))
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(saved)
    # What differs stands behind CLIP's own 77 tokens; nothing is cut.
    captions = ['a dog ' * 40 + word for word in ('red', 'blue')]
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        step, = (step for step in loader.dataset.pipeline
                 if step['type'] == 'OpenCLIPTokenize')
        ids = TRANSFORMS.build(step)(dict(text=captions))
        assert ids['text'].shape == (2, 99) and ids['num_truncated'] == 0
    features = model.text_backbone(ids['text']).sentence
    assert torch.equal(ids['text'][0, :77], ids['text'][1, :77])
    assert not torch.allclose(*features, atol=1e-3)
    if not half:
        torch.testing.assert_close(
            features, clip.encode_text(ids['text']), rtol=1e-4, atol=1e-4)
        state['positional_embedding_res'] = trained[:77]
        said = convert(state, target='no.pth')
        assert re.match(r'error: .*one shape, .* \(99, 64\) and \(77, 64\)', said)


def test_the_towers_names_are_as_open_clip_splits_them(clip):
    state = convert_to_custom_text_state_dict(clip.state_dict())
    assert {k.split('.')[0] for k in state} == {'visual', 'text', 'logit_scale'}


def test_necks_of_a_config_get_their_embeddings(convert, clip, tmp_path):
    config = tmp_path / 'tempme.py'
    config.write_text("""model = dict(backbone=dict(necks=[
    dict(type='TokenMerging', before_block=[1, 2], r=0.1),
    dict(type='TemporalTokenMerging', before_block=[1, 2], num_segments=[4, 2],
         num_clips=[8, 4])]))""")
    places = [torch.randn(1, clips, 1, 64) for clips in (8, 4)]
    state = {**prefixed(clip), **{
        f'clip.visual.transformer.resblocks.{i}.TVPt_Video_Positional_embedding': x
        for i, x in enumerate(places)}}
    assert '--necks-of a config of TempMe' in convert(state, target='no.pth')
    assert 'no options of a CenterCLIP' in convert(
        state, '--necks-of', config, '--centerclip', target='no.pth')
    printed = convert(state, '--necks-of', config)
    assert '0 keys of the model keep' in printed and '0 keys of the file' in printed
    saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    for i, x in enumerate(places):
        assert torch.equal(saved[f'backbone.necks.{i + 2}.clip_embed'], x[0, :, 0])
