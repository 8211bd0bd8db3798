"""k-medoids++ in torch, batched and plain: what the fast version is timed against.

Written from CenterCLIP (arXiv 2205.00823, Sec. 3.3) as one writes it down
first: each step has the distances of every cluster's candidates to its
members in one (B, K, N, N) tensor. ``python -m tests.reference.published_kmedoids``
times both, in turns, on tokens of real clips if it is given their folder.
"""
import argparse
import json
import statistics
import time

import torch


def published_kmedoids(tokens, num_centers, max_iters=100, tol=1e-6):
    """Medoids (B, K), ascending, of tokens (B, N, C)."""
    distances = torch.cdist(
        tokens, tokens, compute_mode='donot_use_mm_for_euclid_dist')
    batch = torch.arange(len(tokens))[:, None]
    medoids = tokens.norm(dim=-1).argmax(dim=1, keepdim=True)
    while medoids.shape[1] < num_centers:
        nearest = distances[batch, medoids].min(dim=1).values
        nearest[batch, medoids] = -1
        medoids = torch.cat([medoids, nearest.argmax(1, keepdim=True)], dim=1)
    for _ in range(max_iters):
        assignment = distances[batch, medoids].argmin(dim=1)
        assignment[batch, medoids] = torch.arange(num_centers)
        member = assignment[:, None] == torch.arange(num_centers)[:, None]
        pairs = member[:, :, :, None] & member[:, :, None, :]
        cost = (distances[:, None] * pairs).sum(dim=-1)
        updated = cost.masked_fill(~member, torch.inf).argmin(dim=-1)
        moved = (tokens[batch, updated] - tokens[batch, medoids]).norm(dim=-1)
        medoids = updated
        if moved.sum(dim=1).mean() < tol:
            break
    return medoids.sort(dim=1).values


def clip_tokens(folder, problems, count):
    """Patches of real frames under a random projection, (B, N, 768)."""
    from mmaction_centerclip.benchmarking import normalized, read_clips
    frames = normalized(read_clips(folder, problems, -(-count // 196), 224))
    patches = frames.unfold(3, 16, 16).unfold(4, 16, 16)
    patches = patches.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(1, 3)
    return patches[:, :count] @ torch.randn(768, 768) / 768**0.5


def main():
    from mmaction_centerclip.ops import kmedoids
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--videos', help='folder of real clips')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--json', metavar='OUT')
    args = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    # Two videos of ViT-B/32, and one of ViT-B/16.
    for problems, count, centers in ((6, 196, 49), (48, 196, 49), (4, 588, 160)):
        if args.videos:
            tokens = clip_tokens(args.videos, problems, count)
        else:
            tokens = torch.randn(problems, count, 768)
        times = {'published': [], 'ours': []}
        for turn in range(args.repeats + 1):
            for name, function in (('published', published_kmedoids),
                                   ('ours', lambda *a: kmedoids(*a)[0])):
                start = time.perf_counter()
                medoids = function(tokens, centers)
                if turn:
                    times[name].append(time.perf_counter() - start)
                if name == 'published':
                    expected = medoids
        alike = (medoids == expected).float().mean().item()
        row = {name: 1e3 * statistics.median(t) for name, t in times.items()}
        row.update(problems=problems, tokens=count, centers=centers,
                   alike=alike, ratio=row['published'] / row['ours'])
        rows.append(row)
        print(f'{problems} x {count} tokens, {centers} centers: published '
              f'{row["published"]:.1f} ms, ours {row["ours"]:.1f} ms, '
              f'{row["ratio"]:.0f} times; {alike:.0%} of the medoids alike')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
