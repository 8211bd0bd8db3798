"""ToMe in hosts: the paper's outputs, keys and sizes in the attention."""
from functools import partial

import pytest
import torch
from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, VideoTokens
from mmaction_centerclip.ops import alternate, bipartite_matching, merge

from ..reference.rotary import angles_of, rotate
from ..reference.token_merging import timm_vit
from .hosts import HOSTS, TIMM

each_host = pytest.mark.parametrize('host', [
    pytest.param(host, id=name) for name, host in HOSTS.items()
    if (tower := host.build()).open_attention(host.blocks(tower)[0])])
ALL = dict(type='TokenMerging', before_block=[1, 2, 3], r=1)


def record_outputs(modules):
    outputs = []
    for module in modules:
        module.register_forward_hook(lambda *args: outputs.append(args[2]))
    return outputs


@pytest.mark.parametrize('options', [
    dict(), dict(reg_tokens=3, init_values=0.1), dict(qk_norm=True),
    dict(class_token=False, global_pool='avg')])
@pytest.mark.parametrize('r, proportional', [(3, True), (3, False), (9, True)])
@torch.no_grad()
def test_on_timms_vit_it_is_the_paper(options, r, proportional):
    options = dict(TIMM, img_size=64, **options)
    tower = TimmVisionTower(
        [dict(ALL, r=r, proportional=proportional)], **options).double().eval()
    for parameter in tower.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))  # of attention that is uneven
    imgs = torch.randn(1, 3, 3, 64, 64, dtype=torch.float64)
    mlps = record_outputs([block.mlp for block in tower.blocks])
    tokens = tower.run_blocks(imgs).x
    counts = [x.shape[1] for x in mlps]
    for image, got in zip(imgs[0], tokens):
        states = timm_vit(tower, image, r, proportional)
        assert counts == [len(x) for x, _ in states]
        torch.testing.assert_close(got, states[-1][0])
    expected = {3: [13, 10, 7], 9: [8, 4, 2]}[r]
    assert [count - tower.num_prefix_tokens for count in counts] == expected


@each_host
@torch.no_grad()
def test_the_bias_is_what_copies_of_a_token_do(host, imgs):
    """Attention with log(2) on a token is attention on two copies of it."""
    tower = host.build().eval()
    block = host.blocks(tower)[1]
    opened = tower.open_attention(block)
    attention, _ = tower.block_halves(block)
    x = torch.randn(2, 6, 32)
    torch.testing.assert_close(opened.attention(x, bias=torch.zeros(2, 6)),
                               attention(x))
    bias = torch.tensor([1, 1, 1, 3, 1, 2.]).log().expand(2, 6)
    copies = torch.cat([x, x[:, 3:4], x[:, 3:4], x[:, 5:]], dim=1)
    got = opened.attention(x, bias=bias)
    torch.testing.assert_close(got, attention(copies)[:, :6], rtol=1e-4, atol=1e-5)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(opened.attention(x, bias=bias), got,
                                   rtol=0.1, atol=0.1)


def projected(block, x, number):
    """Queries (0) or keys (1) of the heads, by the names that the hosts' have."""
    attn = block.attn
    norm = getattr(block, 'ln_1', None) or block.norm1
    if type(block).__name__ != 'EvaBlockPostNorm':
        x = norm(x)
    part = slice(32 * number, 32 * number + 32)
    if hasattr(attn, 'in_proj_weight'):
        x = x @ attn.in_proj_weight[part].T + attn.in_proj_bias[part]
    elif getattr(attn, 'k_proj', None) is not None:
        x = (attn.q_proj, attn.k_proj)[number](x)
    else:
        bias = attn.qkv.bias
        if getattr(attn, 'q_bias', None) is not None:
            bias = torch.cat([attn.q_bias, torch.zeros(32), attn.v_bias])
        x = x @ attn.qkv.weight[part].T + (0 if bias is None else bias[part])
    heads = x.unflatten(-1, (2, 16))
    for name in (('ln_q', 'q_norm'), ('ln_k', 'k_norm'))[number]:
        heads = getattr(attn, name, torch.nn.Identity())(heads)
    return heads


@each_host
@torch.no_grad()
def test_keys_and_entropy_are_those_of_the_attention(host):
    tower = host.build().eval()
    block = host.blocks(tower)[1]
    for parameter in block.attn.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, host.prefix + 4, 32)
    opened = tower.open_attention(block)
    queries, keys = (projected(block, x, number) for number in (0, 1))
    torch.testing.assert_close(opened.keys(x), keys.mean(2), rtol=1e-4, atol=1e-5)
    if host.rope:
        for turned in (queries, keys):
            for place in range(4):
                turned[:, host.prefix + place] = rotate(
                    turned[:, host.prefix + place], angles_of(place, **host.rope))
    tokens = VideoTokens(x, 2, host.prefix)
    entropy = tower.around(opened.entropy, tokens)[..., 0]
    for video, got in enumerate(entropy):
        logits = [queries[video, :, head].double() @ keys[video, :, head].double().T / 4
                  for head in range(2)]
        attention = sum(x.softmax(1) for x in logits) / 2
        expected = [-sum(p * p.log() for p in row) for row in attention]
        # Finer than float32, for differences of entropies weigh tokens.
        torch.testing.assert_close(got, torch.stack(expected), rtol=0, atol=5e-8)


@each_host
@torch.no_grad()
def test_merging_in_a_host_is_its_parts_run_by_hand(host, imgs):
    segments = 1 if host.joint else None
    tower = host.build([dict(ALL, r=2, num_segments=segments)]).eval()
    got, _ = tower.encode(imgs)
    x, size = host.embed(tower, imgs), None
    positions = torch.arange(len(x) // len(imgs) * 4).view(1, -1, 4).expand(3, -1, -1)
    if host.joint:
        x, positions = x.unflatten(0, (len(imgs), -1)).flatten(1, 2), None
    for block in host.blocks(tower):
        opened = tower.open_attention(block)
        attention, mlp = tower.block_halves(block)
        keys = opened.keys(x)[:, host.prefix:]
        if size is None:
            step, size = attention, torch.ones(keys.shape[:2])
        else:
            ones = torch.ones(len(x), host.prefix)
            step = partial(opened.attention, bias=torch.cat([ones, size], dim=1).log())
        x = step(x) if host.joint else tower.around(
            step, VideoTokens(x, len(imgs), host.prefix, positions=positions))
        count = keys.shape[1]
        if count > 1:
            kept, assignment = bipartite_matching(
                keys, min(2, count // 2), *alternate(count, host.prefix % 2 == 0))
            patches, size = merge(x[:, host.prefix:], assignment, kept.shape[1], size)
            x = torch.cat([x[:, :host.prefix], patches], dim=1)
            if not host.joint:  # Rotary hosts turn a token by its place.
                positions = positions.gather(2, kept.unflatten(0, (len(imgs), -1)))
        x = mlp(x)
    expected = host.pool(tower, x).unflatten(0, (len(imgs), -1))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['clip', 'timm', 'videomae', 'eva02'])
@pytest.mark.parametrize('options', [
    dict(), dict(metric='tokens', proportional=False), dict(num_segments=2, r=3)])
def test_trains_with_recomputation_and_in_bfloat16(name, options, imgs):
    host = HOSTS[name]
    tower = host.build([dict(ALL, **options)], with_cp=True).train()
    grads = []
    for autocast in (False, True):
        tower.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            features, _ = tower.encode(imgs, None)
        features.float().square().sum().backward()
        grads.append({n: p.grad.clone() for n, p in tower.named_parameters()
                      if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    assert all(g.isfinite().all() for grad in grads for g in grad.values())
    block = host.blocks(tower)[0]
    assert all(p.grad is not None for p in block.parameters())


@each_host
@torch.no_grad()
def test_without_merges_it_is_the_host(host, imgs):
    for options in (dict(), dict(metric='tokens', proportional=False)):
        tower = host.build([dict(ALL, r=0, **options)]).eval()
        got, _ = tower.encode(imgs)
        assert torch.equal(got, host_without(tower, imgs))


def host_without(tower, imgs):
    tower.attach([])
    return tower.encode(imgs)[0]


@torch.no_grad()
def test_attention_counts_by_size_behind_the_neck_only(imgs):
    """In blocks that lie behind it, with no neck of their own."""
    host = HOSTS['timm']
    tower = host.build([dict(ALL, before_block=2, r=2)]).eval()
    biases = []
    for block in tower.blocks:
        block.attn.register_forward_hook(
            lambda module, args, kwargs, out: biases.append(kwargs.get('attn_mask')),
            with_kwargs=True)
    tower.encode(imgs)
    assert biases[:2] == [None, None]
    assert biases[2].shape == (24, 1, 1, 3) and biases[2][0].exp().sum() == 5
    plain = host.build([dict(ALL, before_block=2, r=2, proportional=False)])
    biases.clear()
    plain.encode(imgs)
    assert biases == []


@torch.no_grad()
def test_joins_the_frames_of_segments():
    neck = MODELS.build(dict(type='TokenMerging', before_block=1, r=3, num_segments=2,
                             metric='tokens', proportional=False))
    tokens = VideoTokens.of_parts(torch.randn(2, 4, 1, 8), torch.randn(2, 4, 5, 8),
                         torch.ones(2, 4).bool())
    out = neck(tokens)
    assert out.patches.shape == (2, 2, 7, 8) and out.frame_mask.shape == (2, 2)
    assert (out.size.sum(-1) == 10).all()
    torch.testing.assert_close(out.prefix[:, 1], tokens.prefix[:, 2:].mean(1))
    segment = tokens.patches[1, 2:].flatten(0, 1)
    kept, assignment = bipartite_matching(segment[None], 3, *alternate(10, False))
    assert torch.equal(out.positions[1, 1], kept[0] + 10)
    torch.testing.assert_close(out.patches[1, 1],
                               merge(segment[None], assignment, 7)[0][0])


@pytest.mark.parametrize('options, message', [
    (dict(r=-1), 'TokenMerging: r must .* got -1'),
    (dict(r=True), 'r must .* got True'),
    (dict(num_segments=0), 'num_segments .* got 0'),
    (dict(metric='values'), "metric must be .* got 'values'"),
    (dict(proportional=2), 'proportional must be .* got 2'),
    (dict(before_block=[]), r'before_block must be .* got \[\]'),
    (dict(before_block=[1, 0]), 'before_block must be .* got 0'),
    (dict(before_block=[1, 4]), "tower's 3 blocks, got 4"),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        TimmVisionTower([dict(ALL, **options)], **TIMM)


def test_hosts_that_cannot_are_named(imgs):
    from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock

    class Unopened(TimmVisionTower):
        def open_attention(self, block):
            return None

    message = "keys .* Unopened .* metric='tokens', proportional=False"
    for options in (dict(), dict(metric='tokens'), dict(proportional=False)):
        with pytest.raises(InputError, match=message):
            Unopened([dict(ALL, **options)], **TIMM)
    Unopened([dict(ALL, metric='tokens', proportional=False)], **TIMM).encode(imgs)
    for block in (ParallelScalingBlock, ResPostBlock):
        with pytest.raises(InputError, match=f'between attention .* {block.__name__}'):
            TimmVisionTower([ALL], block_fn=block, **TIMM)
    with pytest.raises(InputError, match='only the first neck inside a block'):
        TimmVisionTower([ALL, dict(ALL, before_block=1)], **TIMM).encode(imgs)
