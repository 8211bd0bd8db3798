"""TempMe and vid-TLDR against arrays of their authors' code.

They are too large to be carried over, and run where they lie in ../shared/golden.
"""
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmaction_centerclip.models.lora import add_adapters

from ..paths import golden_files, load

TEMPME, VIDTLDR = golden_files('tempme_*.npz'), golden_files('vidtldr_*.npz')
PLACE = 'transformer.resblocks.{}.TVPt_Video_Positional_embedding'


def assert_close(got, expected):
    expected = torch.from_numpy(expected)
    assert got.shape == expected.shape
    torch.testing.assert_close(
        got, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def weights_of(data, prefix):
    return {key.removeprefix(prefix): torch.from_numpy(value.astype(np.float32))
            for key, value in data.items() if key.startswith(prefix)}


def record_input(module, seen):
    """Append the tokens in front of a neck."""
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))


def tempme_necks(data, depth):
    first, clips = int(data['merge_layer'][0]), data['imgs'].shape[1]
    cross, inner = map(float, data['proportion'])
    necks = [dict(type='TokenMerging', before_block=list(range(1, first + 1)),
                  r=int(data['r']))] * (first > 0)
    for layer, joined in zip(data['merge_layer'], data['merge_frames']):
        necks.append(dict(
            type='TemporalTokenMerging', before_block=int(layer) + 1, r=cross,
            num_segments=clips // int(joined),
            num_clips=clips if data['frame_pos'] else None))
        clips //= int(joined)
    return [*necks, dict(type='TokenMerging', r=inner,
                         before_block=list(range(first + 1, depth + 1)))]


def tempme_tower(data):
    """Their weights, with the adapters as adapters."""
    weights = weights_of(data, 'w.visual.')
    depth = sum('ln_1.weight' in key for key in weights)
    width, embed_dim = weights['proj'].shape
    patch = weights['conv1.weight'].shape[-1]
    arch = dict(
        embed_dim=embed_dim, quick_gelu=True, vision_cfg=dict(
            image_size=data['imgs'].shape[-1], layers=depth, width=width,
            head_width=64, patch_size=patch),
        text_cfg=dict(context_length=8, vocab_size=16, width=32, heads=2, layers=1))
    tower = MODELS.build(dict(type='CLIPVisionTower', arch=arch,
                              necks=tempme_necks(data, depth))).eval()
    rank = [len(value) for key, value in weights.items() if key.endswith('LoRA_a')]
    if rank:
        pytest.importorskip('peft')
        both = nn.ModuleDict(dict(backbone=tower, text_backbone=nn.Identity()))
        add_adapters(both, dict(backbone=dict(r=rank[0], lora_alpha=rank[0])))
    ours = {}
    for key in tower.state_dict():
        theirs = key.replace('.base_layer', '').replace(
            'lora_A.default.weight', 'TVPt_LoRA_a').replace(
            'lora_B.default.weight', 'TVPt_LoRA_b')
        if key.startswith('necks.'):
            neck = tower.necks[int(key.split('.')[1])]
            theirs = PLACE.format(neck.before_block - 1)
        ours[key] = weights.pop(theirs).squeeze(2).squeeze(0) if (
            key.startswith('necks.')) else weights.pop(theirs)
    assert not weights
    tower.load_state_dict(ours)
    return tower, depth


@torch.no_grad()
@pytest.mark.parametrize('path', TEMPME, ids=lambda path: path.stem)
def test_tempme(path):
    data = load(path)
    tower, depth = tempme_tower(data)
    imgs = torch.from_numpy(data['imgs'].astype(np.float32))
    mask = torch.from_numpy(data['frame_mask'])
    behind, joins = {}, {}
    for neck in tower.necks:
        if type(neck).__name__ == 'TemporalTokenMerging':
            record_input(neck, joins.setdefault(neck.before_block - 1, []))
    tower.run_blocks(imgs, mask, lambda step, tokens: behind.update(
        {getattr(step, 'number', 0): tokens}))
    behind.update({block: seen[0] for block, seen in joins.items()})
    for i in range(depth):
        tokens = behind[i + 1]
        assert_close(tokens.x, data[f'tokens{i}'])
        size = torch.ones(tokens.x.shape[:2])
        if tokens.size is not None:
            size[:, tokens.num_prefix:] = tokens.size.flatten(0, 1)
        assert_close(size, data[f'size{i}'])
        clips, count = tokens.by_frame.shape[1:3]
        assert [tokens.num_prefix, clips, count] == data[f'info{i}'].tolist()
    features, kept = tower.encode(imgs, mask)
    assert torch.equal(kept, mask)
    features = F.normalize(features, dim=-1) * kept[..., None]
    assert_close(features.sum(1) / kept.sum(1, keepdim=True), data['features'])


@torch.no_grad()
@pytest.mark.parametrize('path', VIDTLDR, ids=lambda path: path.stem)
def test_vidtldr(path):
    data = load(path)
    names = {'patch_embed.proj': 'patch_embed.projection',
             'mlp.fc1': 'mlp.layers.0.0', 'mlp.fc2': 'mlp.layers.1'}
    weights = {'pos_embed': torch.from_numpy(data['pos_embed'])}
    for key, value in weights_of(data, 'w.').items():
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        weights[key] = value
    counts = data['r'].tolist()
    imgs = torch.from_numpy(data['imgs'].astype(np.float32)).transpose(1, 2)
    tower = MODELS.build(dict(
        type='VideoMAETower', img_size=imgs.shape[-1], num_frames=imgs.shape[1],
        patch_size=weights['patch_embed.projection.weight'].shape[-1],
        embed_dims=weights['norm.weight'].numel(), depth=len(counts),
        num_heads=int(data['heads']), tubelet_size=int(data['tubelet']),
        use_mean_pooling=False, norm_cfg=dict(type='LN', eps=1e-6),
        necks=[dict(type='SaliencyTokenMerging', num_segments=1, r=counts,
                    before_block=list(range(1, len(counts) + 1)))])).eval()
    assert not tower.load_state_dict(weights, strict=False).missing_keys
    torch.testing.assert_close(tower.pos_embed, weights['pos_embed'])
    seen = []
    for neck in tower.necks:
        neck.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    tokens = tower.run_blocks(imgs)
    for i, (before, after) in enumerate(seen):
        for name, state in (('before', before), ('after', after)):
            x = state.by_frame.flatten(1, 2)
            assert_close(x, data[f'{name}{i}'])
            size = (torch.ones(x.shape[:2]) if state.size is None
                    else state.size.flatten(1).float())
            if f'size_{name}{i}' in data:
                assert_close(size, data[f'size_{name}{i}'])
        if f'attn{i}' in data and counts[i]:
            attention = torch.from_numpy(data[f'attn{i}']).mean(1)
            entropy = -(attention * attention.clamp(min=1e-30).log()).sum(-1)
            assert_close(before.entropy.flatten(1).float(), entropy.numpy())
    assert_close(tower.norm(tokens.by_frame.flatten(1, 2)), data['output'])
