"""ToMe as the paper tells it (arXiv 2210.09461), one token and one image at a time.

Slow and obvious: the oracle of the fast version. A token is a dict of its
vector, what it is compared by, how many patches it holds and which is its own.
"""
import numpy as np
import torch


def cosine(a, b):
    norms = [max(np.linalg.norm(x), 1e-12) for x in (a, b)]
    return a @ b / (norms[0] * norms[1])


def match(metric, num_merges, sources):
    """Pairs (source, destination) to merge, the best first."""
    metric = np.asarray(metric, dtype=np.float64)
    sources = [i for i, is_source in enumerate(sources) if is_source]
    destinations = [i for i in range(len(metric)) if i not in sources]
    edges = []
    for i in sources:
        scores = [cosine(metric[i], metric[j]) for j in destinations]
        best = int(np.argmax(scores))
        edges.append((scores[best], i, destinations[best]))
    edges.sort(key=lambda edge: -edge[0])  # Stable: ties stay in token order.
    return [(i, j) for _, i, j in edges[:num_merges]]


def bipartite(metric, num_merges, sources):
    """The kept tokens' indices in the paper's order, and where each token goes."""
    goes_to = dict(match(metric, num_merges, sources))
    left = [i for i in range(len(metric)) if i not in goes_to]
    kept = [i for i in left if sources[i]] + [i for i in left if not sources[i]]
    return kept, [kept.index(goes_to.get(i, i)) for i in range(len(metric))]


def merge_image(x, sizes, keys, num_merges, prefix=1):
    """Merge one image's tokens (prefix and patches, in one sequence)."""
    count = len(x)
    num_merges = min(num_merges, (count - prefix) // 2)
    sources = [i % 2 == 0 for i in range(prefix, count)]
    kept, goes_to = bipartite(keys[prefix:], num_merges, sources)
    rows, new_sizes = list(x[:prefix]), list(sizes[:prefix])
    for k in range(len(kept)):
        members = [prefix + i for i, g in enumerate(goes_to) if g == k]
        total = sum(sizes[m] for m in members)
        rows.append(sum(x[m] * (sizes[m] / total) for m in members))
        new_sizes.append(total)
    return torch.stack(rows), new_sizes


def timm_vit(vit, image, num_merges, proportional=True):
    """Tokens of one image (3, H, W) behind each block of timm's ViT."""
    x = vit.norm_pre(vit._pos_embed(vit.patch_embed(image[None])))[0]
    sizes, states = [1] * len(x), []
    for block in vit.blocks:
        attn, heads = block.attn, block.attn.num_heads
        qkv = attn.qkv(block.norm1(x)).reshape(len(x), 3, heads, -1)
        outputs, all_keys = [], []
        for h in range(heads):
            q, k, v = attn.q_norm(qkv[:, 0, h]), attn.k_norm(qkv[:, 1, h]), qkv[:, 2, h]
            logits = q @ k.T / k.shape[1]**0.5
            if proportional:
                logits = logits + torch.tensor(sizes, dtype=x.dtype).log()
            outputs.append(logits.softmax(dim=1) @ v)
            all_keys.append(k)
        x = x + block.ls1(attn.proj(torch.cat(outputs, dim=1)))
        keys = (sum(all_keys) / heads).detach().numpy()
        x, sizes = merge_image(x, sizes, keys, num_merges, vit.num_prefix_tokens)
        x = x + block.ls2(block.mlp(block.norm2(x)))
        states.append((x, sizes))
    return states


def join_clips(frames, sizes, classes, num_merges, places=None):
    """TempMe's join of frames (F, N, C) of one clip: tokens, sizes, kept indices.

    The tokens are matched as they are, and averaged with their frames' places.
    """
    metric = [token for frame in frames for token in frame]
    sizes = [size for frame in sizes for size in frame]
    tokens = [token if places is None else token + places[f]
              for f, frame in enumerate(frames) for token in frame]
    # Every other token of the row may move, which begins with the class tokens.
    sources = [(classes + i) % 2 == 0 for i in range(len(metric))]
    kept = goes_to = list(range(len(metric)))  # in their order where none merges
    if num_merges:
        kept, goes_to = bipartite(torch.stack(metric), num_merges, sources)
    rows, new_sizes = [], []
    for k in range(len(kept)):
        members = [i for i, g in enumerate(goes_to) if g == k]
        new_sizes.append(sum(sizes[i] for i in members))
        rows.append(sum(tokens[i] * sizes[i] for i in members) / new_sizes[-1])
    return torch.stack(rows), new_sizes, kept


def runs(frames, num_tokens, sizes=None):
    """Ours: merge tokens over time, then by pairs. Frames (F, N, C), sizes (F, N).

    Returns the index of the token that stands for each group, and each token's group.
    """
    count, places = len(frames), len(frames[0])
    edges = [(cosine(np.asarray(frames[f][n]), np.asarray(frames[f - 1][n])), f, n)
             for f in range(1, count) for n in range(places)]
    edges.sort(key=lambda edge: edge[0])  # Those that change most stay apart.
    starts = {(0, n) for n in range(places)} | {
        (f, n) for _, f, n in edges[:max(2 * num_tokens, places) - places]}
    groups = []
    for f, n in sorted(starts):
        end = next((g for g in range(f + 1, count) if (g, n) in starts), count)
        groups.append([g * places + n for g in range(f, end)])
    own = [group[0] for group in groups]
    tokens = [np.asarray(token) for frame in frames for token in frame]
    weights = [1] * len(tokens) if sizes is None else [
        float(size) for frame in sizes for size in frame]
    while len(groups) > num_tokens:
        metric = [sum(tokens[i] * weights[i] for i in group)
                  / sum(weights[i] for i in group) for group in groups]
        kept, goes_to = bipartite(metric, min(len(groups) - num_tokens,
                                              len(groups) // 2),
                                  [i % 2 == 0 for i in range(len(groups))])
        own = [own[i] for i in kept]
        groups = [[i for group, g in zip(groups, goes_to) if g == k for i in group]
                  for k in range(len(kept))]
    return own, [next(k for k, group in enumerate(groups) if i in group)
                 for i in range(len(tokens))]
