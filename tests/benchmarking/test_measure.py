import pytest
import torch
from torch import nn

from mmaction_centerclip.benchmarking import (
    check_cpu_time,
    count_macs,
    describe_machine,
    measure,
    median_ratio,
    peak_mib,
    time_turns,
)
from mmaction_centerclip.errors import InputError


@pytest.mark.parametrize('training', [True, False])
def test_attention_counts_on_every_path(training):
    """Five tokens: four projections of them, and two products of attention."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True).train(training)
    x = torch.randn(3, 5, 8)
    macs = count_macs(lambda: attention(x, x, x, need_weights=False))
    assert macs == 3 * (4 * 5 * 8 * 8 + 2 * 5 * 5 * 8)


def test_a_parameter_that_is_expanded_is_counted():
    """As the query of timm's attention pooling is."""
    query, layer = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 4)
    assert count_macs(lambda: layer(query.expand(3, -1, -1))) == 3 * 8 * 4


def test_functions_take_turns():
    clock, calls = [0.], []

    def function(name, *seconds):
        seconds = iter(seconds)

        def call():
            assert not torch.is_grad_enabled()
            calls.append(name)
            clock[0] += next(seconds)

        return call

    times = time_turns(
        dict(a=function('a', 90, 1, 7, 3), b=function('b', 80, 20, 40, 20)),
        repeats=3, warmup=1, clock=lambda: clock[0])
    assert calls == ['a', 'b', 'b', 'a'] * 2
    assert times == dict(a=[1000, 7000, 3000], b=[20000, 40000, 20000])


def test_a_ratio_of_turns_does_not_see_a_machine_that_gets_slower():
    """Each turn is twice as slow as the last, and one call was held up."""
    clock, turn = [0.], [0]

    def call(seconds):
        clock[0] += seconds * 2 ** (turn[0] // 2) * (100 if turn[0] == 9 else 1)
        turn[0] += 1

    times = time_turns(dict(a=lambda: call(3), b=lambda: call(4)), 7, 0,
                       lambda: clock[0])
    assert times['a'][:3] == [3000, 6000, 12000] and len(times['b']) == 7
    assert median_ratio(times['a'], times['b']) == .75


def test_real_time_and_that_of_the_process():
    sleep = dict(sleep=lambda: measure.time.sleep(.05))
    assert 50 <= time_turns(sleep, 1, 0)['sleep'][0] < 1000
    assert time_turns(sleep, 1, 0, measure.time.process_time)['sleep'][0] < 50


def test_the_machine_is_described():
    said = describe_machine('cpu')
    name, rest = said.split(f', {torch.get_num_threads()} CPU threads, torch ')
    assert len(name) > 3 and rest == torch.__version__


def kib(count):
    """A tensor of so many KiB."""
    return torch.zeros(count, 256)


def release_in_between():
    x = kib(4)
    del x
    y = kib(3)
    z = kib(2)
    return y, z


def held_at_once():
    x = kib(4)
    y = x + 1
    del x, y
    return kib(1)


def views_and_in_place():
    x = kib(4)
    return x.view(-1), x[1:], x.t(), x.add_(1), x.detach()


def several_outputs():
    return kib(4).max(dim=1)  # values float32, indices int64


@pytest.mark.parametrize('function, expected', [
    (lambda: kib(4), 4),
    (release_in_between, 5),
    (held_at_once, 8),
    (views_and_in_place, 4),
    (several_outputs, 4 + 4 * (4 + 8) / 1024),
    (lambda: [kib(1) for _ in range(5)], 5),
    (lambda: [kib(1).sum() for _ in range(5)], 1 + 5 * 4 / 1024),
])
def test_the_peak_is_what_is_alive_at_once(function, expected):
    assert peak_mib(function) == expected / 1024


def test_what_was_there_before_does_not_count():
    before = kib(8)

    def function():
        before.mul_(2)
        after = before * 2
        after.add_(1)

    assert peak_mib(function) == 8 / 1024


def test_what_the_backward_pass_needs_is_alive_until_it_has_run():
    weight = torch.ones(256, requires_grad=True)

    def forward():
        return (kib(4) * weight).exp().sum()

    assert peak_mib(forward) == 3 * 4 / 1024  # exp's input is there until it returns
    assert peak_mib(lambda: forward().backward()) > 3 * 4 / 1024


def test_cpu_time_of_a_gpu_is_refused():
    with pytest.raises(InputError, match='on one CPU thread only, got .* on cuda:0'):
        check_cpu_time('cuda:0')
