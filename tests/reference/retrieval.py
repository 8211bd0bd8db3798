"""Retrieval metrics by brute force over every order of tied candidates."""
import itertools
import statistics


def possible_ranks(scores, target):
    """Rank of the target for every order of its tied candidates."""
    tied = [i for i, s in enumerate(scores) if s == scores[target]]
    better = sum(s > scores[target] for s in scores)
    return [
        better + 1 + order.index(target)
        for order in itertools.permutations(tied)
    ]


def metrics(queries, topk=(1, 5, 10)):
    """Expected metrics of (scores, target) pairs under random ties."""
    ranks = [possible_ranks(scores, target) for scores, target in queries]
    expected = [statistics.fmean(r) for r in ranks]
    result = {
        f'R{k}':
        100 * statistics.fmean(
            statistics.fmean(rank <= k for rank in r) for r in ranks)
        for k in topk
    }
    return dict(
        result, MdR=statistics.median(expected), MnR=statistics.fmean(expected))


def retrieval_metrics(similarity, video_of_text, topk=(1, 5, 10)):
    """Both directions; similarity is a list of rows, one a caption."""
    videos = range(len(similarity[0]))
    t2v = [(row, own) for row, own in zip(similarity, video_of_text)]
    groups = {v: [t for t, own in enumerate(video_of_text) if own == v]
              for v in videos}
    described = [v for v in videos if groups[v]]
    v2t = [([max(similarity[t][v] for t in groups[u]) for u in described],
            position) for position, v in enumerate(described)]
    # Captionless groups score nothing, and are no queries.
    return {
        f'{direction}/{name}': value
        for direction, queries in (('t2v', t2v), ('v2t', v2t))
        for name, value in metrics(queries, topk).items()
    }
