"""The parts of a sweep: log, grid, fidelity, clips, means and Pareto front."""
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mmaction_centerclip.benchmarking import (
    REDUCERS,
    Budget,
    CellLog,
    TowerShape,
    budget_necks,
    check_reducers,
    compare_cells,
    differences_table,
    fidelity,
    format_sweep,
    neighbor_agreement,
    paired_difference,
    pareto_front,
    parse_budget,
    plot_sweep,
    read_clips,
    summarize_cells,
    sweep_markdown,
    used_budget,
    video_files,
)
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models import TimmVisionTower, VideoMAETower

from ..datasets.clips import h264, write_clip


def slow_front(points):
    """Nobody costs no more, is no worse, and is better in one."""
    return {i for i, (cost, quality) in enumerate(points) if not any(
        c <= cost and q >= quality and (c < cost or q > quality) for c, q in points)}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_pareto_front(points):
    front = pareto_front([c for c, _ in points], [q for _, q in points])
    assert set(front) == slow_front(points) and len(front) == len(set(front))
    costs = [points[i][0] for i in front]
    assert costs == sorted(costs)


def test_neighbors_by_hand():
    torch.manual_seed(0)
    whole = torch.randn(20, 5)
    reduced = whole + .5 * torch.randn(20, 5)
    same = 0
    for i in range(20):
        near = []
        for features in (reduced, whole):
            cosines = {j: F.cosine_similarity(features[i], features[j], dim=0).item()
                       for j in range(20) if j != i}
            near.append(set(sorted(cosines, key=cosines.get)[-4:]))
        same += len(near[0] & near[1])
    assert neighbor_agreement(reduced, whole, 4) == pytest.approx(100 * same / 80)
    assert fidelity(whole * 3, whole)['neighbors'] == 100
    assert fidelity(-whole, whole)['cosine'] == pytest.approx(-1)
    assert set(fidelity(whole[:9], whole[:9])) == {'cosine'}


@pytest.mark.parametrize('reduced, whole, message', [
    (torch.ones(3, 2), torch.ones(3, 4), 'must be of one shape'),
    (torch.ones(3, 2) / 0, torch.ones(3, 2), 'must be finite'),
])
def test_bad_features_are_named(reduced, whole, message):
    with pytest.raises(InputError, match=message):
        fidelity(reduced, whole)
    with pytest.raises(InputError, match='at least 11 videos, got 3'):
        neighbor_agreement(whole, whole)


def test_a_log_keeps_whole_rows(tmp_path):
    path = tmp_path / 'cells.jsonl'
    log = CellLog(path)
    rows = [dict(cell=dict(seed=i), figures=dict(x=i)) for i in range(3)]
    for row in rows:
        log.append(row)
    path.write_bytes(path.read_bytes()[:-5])
    again = CellLog(path)
    assert list(again.rows.values()) == rows[:2]
    again.append(dict(rows[1], figures=dict(x=9)))  # a later row counts
    assert [row['figures']['x'] for row in CellLog(path).rows.values()] == [0, 9]
    whole = path.read_bytes()
    for line in (b'[]', b'{"cell": {}}', b'{"cell": {}, "figures": {"x": "1"}}',
                 b'\xff'):
        path.write_bytes(whole + line + b'\n')
        with pytest.raises(InputError, match='line 4: expected a row of a sweep'):
            CellLog(path)
    path.write_bytes(b'of a user')  # without a line's end, as what a kill leaves
    with pytest.raises(InputError, match='last line: expected a row of a sweep'):
        CellLog(path)
    assert path.read_bytes() == b'of a user'


def test_means_and_deviations():
    cell = dict(config='c', way='put in', reducer='r', block=1, segments=2, tokens=3)
    rows = [dict(cell=dict(cell, seed=i), figures=dict(a=float(i))) for i in (1, 2, 6)]
    rows.append(dict(cell=dict(cell, seed=7), failed='too bad'))
    rows.append(dict(cell=dict(cell, tokens=4, seed=7), failed='worse'))
    first, second = summarize_cells(rows)
    assert (first['a'], first['seeds'], first['failed']) == (3, 3, 'too bad')
    assert first['a std'] == pytest.approx(7**.5)
    assert 'a' not in second and second['failed'] == 'worse'
    assert summarize_cells(rows[:1])[0]['a std'] is None
    with pytest.raises(InputError, match="no finished cell has the figure 'a'"):
        plot_sweep([second], 'a', 'no.png')


def test_ways_stand_side_by_side():
    cell = dict(config='c', seed=0, block=None, segments=None, tokens=None)
    found = dict(t2v=[[1, 0], [1]], v2t=[[1], [0]])
    rows = [dict(cell=dict(cell, reducer='none', way=way), found=found,
                 figures={'t2v/R1': 60., 'ms': 2.}) for way in ('put in', 'finetuned')]
    cell.update(reducer='r', block=2, segments=2)
    rows += [dict(cell=dict(cell, way='put in'), figures={'t2v/R1': 10., 'ms': 1.},
                  found=dict(t2v=[[0, 0], [0]], v2t=[[1], [1]])),
             *(dict(cell=dict(cell, way='finetuned', seed=seed), found=found,
                    figures={'t2v/R1': 90., 'ms': 4.}) for seed in (0, 1))]
    none, line = summarize_cells(rows)
    assert (line['t2v/R1'], line['finetuned/t2v/R1'], line['ms']) == (10, 90, 1)
    assert line['seeds'] == '1/2' and none['seeds'] == 1
    compared, = compare_cells(rows, 'none')
    assert compared['t2v', 'put in'][0] == pytest.approx(-200 / 3)
    assert compared['v2t', 'put in'][0] == 50
    assert compared['t2v', 'finetuned'] == (0, 0, 0)  # of the seed that both have
    titles, (written, ) = differences_table([compared])
    assert titles[2:] == ['t2v R@1 put in', 'v2t R@1 put in', 't2v R@1 finetuned',
                          'v2t R@1 finetuned']
    assert written[1] == '2, 2, –' and written[4] == '+0.0 [+0.0, +0.0]'
    assert compare_cells(rows, 'r')[0]['reducer'] == 'none'
    more = [dict(row, cell=dict(row['cell'], tokens=tokens)) for row in rows[2:]
            for tokens in (4, 8)]
    assert not compare_cells([*rows[:2], *more], 'r')  # With which of the two?
    failed = dict(cell=dict(cell, way='finetuned', seed=2), failed='worn out')
    assert summarize_cells([*rows, failed])[1]['failed'] == 'finetuned: worn out'


def slow_difference(pairs, draws, seed):
    rng = np.random.default_rng(seed)
    seeds, videos = len(pairs), len(pairs[0][0])
    chosen = [rng.multinomial(count, [1 / count] * count, size=draws)
              for count in (seeds, videos)]
    found = []
    for draw in range(draws):
        gained, queries = 0, 0
        for s in range(seeds):
            for v in range(videos):
                times = chosen[0][draw, s] * chosen[1][draw, v]
                for own, other in zip(pairs[s][0][v], pairs[s][1][v]):
                    gained += times * (own - other)
                    queries += times
        found.append(100 * gained / queries)
    return np.quantile(found, [.025, .975])


@given(st.integers(0, 99), st.integers(1, 3), st.integers(2, 6))
def test_the_interval_of_a_difference(seed, seeds, videos):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, size=videos)
    pairs = [[[rng.integers(2, size=count).tolist() for count in counts]
              for _ in range(2)] for _ in range(seeds)]
    mean, low, high = paired_difference(pairs, draws=40, seed=seed)
    recalls = [np.mean([100 * np.mean(sum(pair[i], [])) for pair in pairs])
               for i in range(2)]
    assert mean == pytest.approx(recalls[0] - recalls[1])
    assert [low, high] == pytest.approx(slow_difference(pairs, 40, seed))
    assert paired_difference([(own, own) for own, _ in pairs])[1:] == (0, 0)


def test_the_table_of_the_docs():
    cell = dict(config='c', way='put in', reducer='r', block=None, segments=None,
                tokens=None)
    rows = [dict(cell=dict(cell, seed=i), figures={'t2v/R1': float(i), 'ms': 1.,
                                                   'mac_ratio': 1., 'time_ratio': 1.})
            for i in (1, 2, 6)]
    cell = dict(cell, reducer='s', block=3, segments=2)
    rows.append(dict(cell=dict(cell, seed=1), figures={'t2v/R1': 5., 'eval_ratio': .5}))
    rows.append(dict(cell=dict(cell, seed=2), failed='too bad'))
    rows.append(dict(cell=dict(cell, tokens=4, seed=1), failed='worse'))
    lines = summarize_cells(rows)
    assert sweep_markdown(lines, 'Said.').splitlines() == [
        'Said.', '',
        '| reducer | block, segments, tokens | seeds | t2v R@1 | MAC ratio '
        '| time ratio | eval ratio |',
        '| --- | --- | --- | --- | --- | --- | --- |',
        '| r | – | 3 | 3.0 ± 2.6 | 1.000 | 1.00 | – |',
        '| s | 3, 2, – | 1 | 5.0 | – | – | 0.50 |',
        '',
        '- s, 3, 2, –: too bad',
        '- s, 3, 2, 4: worse']
    assert '| config | reducer |' in sweep_markdown(
        [*lines, dict(lines[0], config='d')], '')
    printed = format_sweep(lines).splitlines()
    assert printed[0].split()[:5] == ['reducer', 'block,', 'segments,', 'tokens',
                                      'seeds']
    assert printed[2].split()[-3:] == ['0.50', 'too', 'bad'] and len(printed) == 4


@pytest.mark.parametrize('name', [name for name in REDUCERS if name != 'rlt'])
def test_every_reducer_leaves_the_budget(name):
    budget = Budget(2, 2, 8)
    necks = budget_necks(REDUCERS[name], budget, 0, TowerShape(3, 4, 16))
    tower = TimmVisionTower(img_size=64, embed_dim=16, depth=3, num_heads=2,
                            num_classes=0, necks=json.loads(json.dumps(necks))).eval()
    left = tower.run_blocks(torch.rand(1, 4, 3, 64, 64)).patches.shape
    takes_tokens = used_budget(REDUCERS[name], budget)[2] is not None
    assert left == (1, 2, 8 if takes_tokens else 16, 16)


@pytest.mark.parametrize('name', ['tome', 'tempme', 'vidtldr'])
def test_merging_leaves_the_budget_of_tubelets(name):
    """Frames that enter a tubelet together are one frame of the necks."""
    tower = VideoMAETower(img_size=64, embed_dims=16, depth=3, num_heads=2,
                          num_frames=8)
    shape = TowerShape.of(tower, 8)
    assert shape == (3, 4, 16)
    necks = budget_necks(REDUCERS[name], Budget(2, 1, 20), 0, shape)
    tower = VideoMAETower(img_size=64, embed_dims=16, depth=3, num_heads=2,
                          num_frames=8, necks=necks).eval()
    assert tower.run_blocks(torch.rand(1, 8, 3, 64, 64)).patches.shape[2] == 20


def test_budgets_that_cannot_be():
    with pytest.raises(InputError, match='cannot become 3 in 2 steps'):
        budget_necks(REDUCERS['tome'], Budget(2, 1, 3), 0, TowerShape(3, 4, 16))
    with pytest.raises(InputError, match='block must be at most 3'):
        budget_necks(REDUCERS['norm'], Budget(4, 1, 3), 0, TowerShape(3, 4, 16))
    for segments, tokens in ((1, 65), (5, 1)):
        with pytest.raises(InputError, match='cannot be left of (64|0), of 4 fr'):
            budget_necks(REDUCERS['tome'], Budget(2, segments, tokens), 0,
                         TowerShape(3, 4, 16))
    with pytest.raises(InputError, match='type must be a registered neck'):
        used_budget(dict(type='Nothing'), Budget(4, 1, 3))
    for text in ('1,x,2', '1,2', '1,0,2', '1,2,' + '9' * 5000):
        with pytest.raises(InputError, match='three positive integers'):
            parse_budget(text)


def test_what_a_reducer_says_goes_before_the_budget():
    neck, = budget_necks(dict(REDUCERS['random'], num_centers=9), Budget(1, 2, 3), 5,
                         TowerShape(3, 4, 16))
    assert (neck['num_centers'], neck['seed'], neck['before_block']) == (9, 5, 1)
    assert used_budget(REDUCERS['rlt'], Budget(3, 4, 16)) == (1, 4, None)
    assert used_budget(dict(REDUCERS['norm'], num_centers=0.2), Budget(3, 4, 16)) == (
        3, 4, 0.2)
    blocks = dict(REDUCERS['norm'], before_block=[1, 2], num_segments=[4, 2])
    assert used_budget(blocks, Budget(3, 4, 16)) == (None, None, 16)
    assert used_budget(dict(REDUCERS['tome'], r=3), Budget(3, 4, 16)) == (3, 4, None)
    frames = dict(REDUCERS['tome'], num_segments=None)
    assert used_budget(frames, Budget(2, 4, 8)) == (2, None, 8)
    necks = budget_necks(frames, Budget(2, 4, 8), 0, TowerShape(3, 4, 16))
    assert [neck['r'] for neck in necks] == [5, 3]


def test_reducers_of_a_file():
    assert check_reducers(dict(a=dict(type='A')), 'f') == dict(a=dict(type='A'))
    for reducers in (None, [], dict(x=5)):
        with pytest.raises(InputError, match='f.py: expected reducers, a dict of nam'):
            check_reducers(reducers, 'f.py')
    with pytest.raises(InputError, match="'none' is the model without a reducer"):
        check_reducers(dict(none=dict(type='A')), 'f.py')
    with pytest.raises(InputError, match='f.py: expected options of plain types'):
        check_reducers(dict(x=dict(type='A', function=print)), 'f.py')
    for name in ('CLIPVisionTower', 'os.system', 5):
        with pytest.raises(InputError, match='type must be a registered neck'):
            used_budget(dict(type=name), Budget(4, 1, 3))


def test_clips_are_cut_at_equal_steps(tmp_path):
    path = write_clip(tmp_path / 'a.mp4', **h264())
    assert video_files(tmp_path) == [path]
    clips = read_clips(tmp_path, 3, 4, 32, 8)
    assert clips.shape == (3, 4, 3, 32, 32) and clips.dtype == torch.uint8
    assert not torch.equal(clips[0], clips[1])
    with pytest.raises(InputError, match='clips of 8 frames, expected at least 5000'):
        read_clips(tmp_path, 5000, 4, 32, 8)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty: no video file'):
        video_files(tmp_path / 'empty')
