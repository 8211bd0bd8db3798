import json

import open_clip
import pytest

from mmaction_centerclip.benchmarking import group_families, survey

from ..paths import ROOT

TOOL = 'analysis_tools/list_models.py'
NAMES = 'PE-Core-T-16-384', 'PE-Core-S-16-384', 'RN50'


def test_models_are_counted_and_written(run_tool, tmp_path):
    table, facts = tmp_path / 'table.md', tmp_path / 'facts.json'
    printed = run_tool(TOOL, *NAMES, '--depth', 1, '--markdown', table, '--json', facts)
    title, first, second, count = printed.splitlines()
    assert title.split() == ['family', 'architectures', 'tags', 'tower,', 'or', 'why',
                             'there', 'is', 'none']
    assert first.split() == ['PE-Core', '2', '2', 'CLIPTimmVisionTower']
    assert second.startswith('ResNet') and 'no transformer blocks' in second
    assert count == '2 of 3 architectures and 2 of 5 tags build'
    lines = table.read_text().splitlines()
    assert lines[2] == '| PE-Core | 2 | 2 | `CLIPTimmVisionTower` |'
    assert [model['name'] for model in json.loads(facts.read_text())] == list(NAMES)


@pytest.mark.slow
def test_towers_are_timed_beside_open_clips(run_tool):
    *_, titles, row = run_tool(TOOL, 'ViT-S-32', '--time', 1).splitlines()
    assert titles.split() == ['model', 'ms', 'here', 'ms', 'of', "open_clip's", 'ratio']
    name, here, theirs, ratio = row.split()
    assert name == 'ViT-S-32'
    # Rounded, which is less than a hundredth of some milliseconds.
    assert abs(float(ratio) - float(here) / float(theirs)) < 0.01


def test_bad_options_are_named(run_tool, tmp_path):
    assert "model must be one of" in run_tool(TOOL, 'ViT-B/32')
    assert 'there is no folder' in run_tool(TOOL, '--json', tmp_path / 'no/x.json')


def test_a_difference_ends_in_an_error(run_tool, monkeypatch):
    from mmaction_centerclip.benchmarking import families
    monkeypatch.setattr(families, 'compare_keys', lambda name: 'backbone.x: () here')
    assert run_tool(TOOL, 'ViT-S-16') == (
        "error: other than open_clip's: ViT-S-16: backbone.x: () here")

@pytest.mark.slow
def test_every_model_is_open_clips_as_the_docs_say(load_tool):
    """Keys and shapes at full size, outputs to the last bit at two blocks."""
    models = [survey(name, 2) for name in open_clip.list_models()]
    assert {m.name: m.difference for m in models if m.difference} == {}
    built = [model for model in models if model.tower]
    page = (ROOT / 'docs/models.md').read_text()
    assert load_tool('analysis_tools/list_models.py').markdown(
        group_families(models)) in page
    count = (f'{len(built)} of {len(models)} architectures, and '
             f'{sum(m.tags for m in built)} of {sum(m.tags for m in models)} tags')
    assert count in ' '.join(page.split())
