"""What a reducer costs: figures of tower, evaluation and training step."""
import copy
import time

import pytest
import torch
from mmengine.config import Config

from mmaction_centerclip.benchmarking import build_pair, measure_prices
from mmaction_centerclip.errors import InputError

IMGS = dict(imgs=torch.rand(2, 8, 3, 64, 64))
TOWER = {'gmacs', 'mac_ratio', 'ms', 'time_ratio'}


@pytest.fixture(scope='module')
def pair(tiny_config):
    return build_pair(Config.fromfile(tiny_config))


def test_tower_evaluation_and_step(pair):
    before = [copy.deepcopy(model.state_dict()) for model in pair]
    modes = [model.training for model in pair]
    figures = measure_prices(*pair, IMGS, ('step', 'tower', 'evaluation'), 2,
                             time.process_time)
    assert figures.keys() == TOWER | {'eval_ms', 'eval_ratio', 'step_ms', 'step_ratio'}
    assert all(value > 0 for value in figures.values()) and figures['mac_ratio'] < 1
    # An evaluation is the tower and more; both models are left as they were.
    assert figures['eval_ms'] > .9 * figures['ms']
    assert [model.training for model in pair] == modes
    for model, state in zip(pair, before):
        assert all(torch.equal(x, state[key]) for key, x in model.state_dict().items())
    same = measure_prices(pair[1], pair[1], IMGS, repeats=1)
    assert same.keys() == TOWER and same['mac_ratio'] == 1


def test_ratios_are_of_the_same_turn(pair):
    """By a clock on which everything takes as long."""
    ticks = iter(range(1000))
    figures = measure_prices(*pair, IMGS, ('tower', 'step'), 3, lambda: next(ticks))
    assert figures['time_ratio'] == figures['step_ratio'] == 1
    assert figures['ms'] == figures['step_ms'] == 500  # a second, of two videos


def test_compiled_towers_have_a_first_call(pair):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    figures = measure_prices(*pair, IMGS, repeats=1, backend=backend)
    assert len(graphs) == 2 and figures.keys() == TOWER | {'cold_ms'}
    assert figures['cold_ms'] > figures['ms']


def test_no_such_price(pair):
    with pytest.raises(InputError, match="prices must be one of .*, got 'text'"):
        measure_prices(*pair, IMGS, ('text', ))
    with pytest.raises(InputError, match='repeats must be .*, got 0'):
        measure_prices(*pair, IMGS, repeats=0)
