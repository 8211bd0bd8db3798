"""The decisions of necks are the same in ONNX, ties too."""
import pytest
import torch
from torch import nn

from mmaction_centerclip.ops import (
    alternate,
    bipartite_matching,
    density_peaks,
    kmedoids,
    largest,
    match_runs,
    novelty,
    rarity,
    seeded_scores,
)

pytestmark = pytest.mark.slow
onnxruntime = pytest.importorskip('onnxruntime')

PROBLEMS = {
    'euclidean': lambda x, valid: kmedoids(x, 5),
    'cosine': lambda x, valid: kmedoids(x, 4, distance='cosine', pre_norm=True),
    'padded': lambda x, valid: kmedoids(x, 5, valid=valid),
    'few updates': lambda x, valid: kmedoids(x, 3, max_iters=1),
    'no update': lambda x, valid: kmedoids(x, 3, max_iters=0),
    'one': lambda x, valid: kmedoids(x, 1),
    'all': lambda x, valid: kmedoids(x, 16),
    'density peaks': lambda x, valid: density_peaks(x, 5, valid=valid),
    'pairs': lambda x, valid: bipartite_matching(x, 4, *alternate(16, first=True)),
    'runs': lambda x, valid: match_runs(x.unflatten(1, (4, 4)), 3),
    'novel': lambda x, valid: (largest(novelty(x, 4, valid), 4, valid), ),
    'rare': lambda x, valid: (largest(rarity(x, valid), 4, valid), ),
    'random': lambda x, valid: (seeded_scores(x, 2, seed=3), ),
}


class Decisions(nn.Module):
    """All decisions of the same tokens: one export takes seconds."""

    def forward(self, tokens, valid):
        return [x for decide in PROBLEMS.values() for x in decide(tokens, valid)]


@pytest.fixture(scope='module')
def session(tmp_path_factory):
    from mmaction_centerclip.deployment.onnx_operators import translations
    path = tmp_path_factory.mktemp('onnx') / 'decisions.onnx'
    batch = {0: torch.export.Dim('batch')}
    program = torch.export.export(
        Decisions(), examples(2), strict=False, dynamic_shapes=(batch, batch))
    torch.onnx.export(program, dynamo=True, verbose=False, opset_version=20,
                      custom_translation_table=translations()).save(path)
    return onnxruntime.InferenceSession(path)


def examples(batch, integers=False):
    """Tokens (B, 16, 3), and those that are valid.

    Integers of one dimension, whose means, distances and sums have no rounding, so that
    ties are ties.
    """
    tokens = torch.randn(batch, 16, 3)
    if integers:
        tokens = torch.randint(8, (batch, 16, 3)).float() * torch.tensor([1, 0, 0])
    valid = torch.rand(batch, 16) > 0.4
    valid[:, 5] = True
    return tokens, valid


@pytest.mark.parametrize('batch, integers', [(1, False), (40, False), (40, True)])
def test_decisions(session, batch, integers):
    tokens, valid = examples(batch, integers)
    names = [name for name, decide in PROBLEMS.items() for _ in decide(tokens, valid)]
    feed = dict(zip((x.name for x in session.get_inputs()),
                    (tokens.numpy(), valid.numpy())))
    for name, got, expected in zip(
            names, session.run(None, feed), Decisions()(tokens, valid)):
        # Whose scores of equal tokens differ by the rounding of a logarithm.
        if not (integers and name == 'density peaks'):
            assert torch.equal(torch.from_numpy(got), expected), name
