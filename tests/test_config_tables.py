"""The tables of the configs' READMEs and the metafiles against the facts."""
import argparse
import csv
import json
import re
import runpy

import open_clip
import pytest
import torch
from mmengine.config import DictAction
from mmengine.fileio import load

from .paths import CONFIGS, ROOT, SHARED
from .test_configs import RETRIEVAL, build, config, encode, of_name

DATA = ROOT / 'tests' / 'data'
FOLDERS = ('centerclip', 'clip4clip', 'tempme')
ALGORITHMS = {'k-medoids++': None, 'k-medoids++, p = 1': 'p1', 'spectral': 'spectral'}
HEADS = {
    'mean pooling': None,
    'sequential transformer': 'seqtransf',
    'sequential LSTM': 'seqlstm',
    'tight transformer': 'tighttransf',
    'weighted token interaction': 'wti',
    'X-Pool': 'xpool',
}
NAMES = {path.stem: of_name(path) for path in RETRIEVAL}


def facts(name):
    with open(DATA / f'{name}.csv', newline='') as file:
        return list(csv.DictReader(file))


def rows_of(folder):
    """The rows of the README's tables, each a dict by the table's titles."""
    text = (CONFIGS / 'retrieval' / folder / 'README.md').read_text()
    for table in re.findall(r'(?:^\|.*\|\n)+', text, re.MULTILINE):
        titles, _, *rows = ([cell.strip() for cell in line.strip('|\n').split('|')]
                            for line in table.splitlines())
        for cells in rows:
            row = dict(zip(titles, cells, strict=True))
            link = re.search(r'\((.*)\.py\)', row['config'])
            yield dict(row, name=link and link[1])


ROWS = {folder: list(rows_of(folder)) for folder in FOLDERS}
LEAVES = [row for rows in ROWS.values() for row in rows if 'GMACs/video' in row]
ENTRIES = {
    model['Name']: model for folder in FOLDERS
    for model in load(CONFIGS / 'retrieval' / folder / 'metafile.yml')['Models']
}


def architecture(name):
    size = {'base': 'B', 'large': 'L', 'tiny': 'Tiny'}[name['size']]
    family = {'pe-core': 'PE-Core', 'siglip2': 'SigLIP2', 'datacomp': 'DataComp'}.get(
        name['pre'], 'VideoMAE' if name['tower'] else 'ViT')
    return f'{family}-{size}/{name["patch"]}'


def recalls(fact, direction):
    return ' / '.join(fact[f'{direction}_r{k}'] or '–' for k in (1, 5, 10))


def leaf_of(fact):
    """The config of a row of a paper."""
    places = [fact[key] or None for key in ('after_blocks', 'segments', 'centers')]
    kind = None
    if places[0]:
        kind = ALGORITHMS[fact['algorithm'] + ', p = 1' * (fact.get('p') == '1')]
    found, = (
        leaf for leaf, name in NAMES.items()
        if [name['after_blocks'], name['segments'], name['centers']] == places
        and (name['dataset'], name['kind']) == (fact['dataset'], kind)
        and name['head'] is None and name['tuning'] is None and name['tower'] is None
        and name['method'] != 'tempme'
        and architecture(name) == fact.get('backbone', 'ViT-B/32'))
    return found


def test_every_config_has_one_row():
    for folder in FOLDERS:
        stems = [row['name'] for row in ROWS[folder] if 'GMACs/video' in row]
        paths = (CONFIGS / 'retrieval' / folder).glob('*.py')
        assert sorted(stems) == sorted(path.stem for path in paths)


def test_rows_say_what_their_config_is():
    for row in LEAVES:
        name = NAMES[row['name']]
        assert row['tower'] == architecture(name)
        assert row['frames'] == name['frames']
        assert HEADS[row.get('head', 'mean pooling')] == name['head']
        if name['method'] == 'centerclip':
            assert ALGORITHMS[row['algorithm']] == name['kind']
            assert (row['after block'], row['segments'], row['centers']) == (
                name['after_blocks'], name['segments'], name['centers'])


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_the_papers_recalls(direction):
    expected = {leaf_of(fact): recalls(fact, direction)
                for fact in facts('centerclip_tables')}
    assert len(expected) == 27
    # The base of another config; no table of the paper has it.
    expected['clip4clip_vit-base-p16-res224-clip-pre_32xb4-u60-8e_'
             'activitynet-rgb'] = "the paper's ran out of memory"
    title = f"paper's {direction} R@1 / R@5 / R@10"
    assert expected == {row['name']: cell for row in LEAVES
                        for key, cell in row.items() if key.endswith(title)}


@pytest.mark.parametrize('direction', ['t2v', 'v2t'])
def test_the_released_checkpoints_recalls(direction):
    key = f"checkpoint's {direction} R@1"
    assert {row['name']: row[key] for row in LEAVES if key in row} == {
        leaf_of(fact): fact[f'{direction}_r1']
        for fact in facts('centerclip_checkpoints')}


def test_clip4clips_own_figures():
    rows = [row for row in ROWS['clip4clip'] if 'source' in row]
    for row, fact in zip(rows, facts('clip4clip_tables'), strict=True):
        assert row['source'] == fact['source']
        assert row['data'].lower().replace('msr-vtt ', 'msrvtt-') == fact['dataset']
        assert HEADS[row['head']] == (
            'seqtransf' if fact['head'] == 'seqTransf' else None)
        assert row['t2v R@1 / R@5 / R@10'] == recalls(fact, 't2v')
        assert (row['MdR'], row['MnR']) == (
            fact['t2v_mdr'] or '–', fact['t2v_mnr'] or '–')
        if fact['source'] == 'CLIP4Clip':
            assert NAMES[row['name']]['dataset'] == fact['dataset']


@pytest.mark.skipif(not (SHARED / 'paper').is_dir(), reason='no ../shared')
def test_the_facts_are_the_shared_ones():
    for path in (SHARED / 'paper').glob('*.csv'):
        assert (DATA / path.name).read_text() == path.read_text()


def test_the_model_index_lists_every_config():
    metafiles = load(ROOT / 'model-index.yml')['Import']
    models = [m for f in metafiles for m in load(ROOT / f)['Models']]
    assert sorted(ROOT / m['Config'] for m in models) == RETRIEVAL
    for model in models:
        assert model['Name'] == model['Config'].split('/')[-1][:-3]
        assert model['In Collection'].lower() == NAMES[model['Name']]['method']


@pytest.mark.parametrize('leaf', NAMES)
def test_metafile(leaf):
    name, metadata = NAMES[leaf], ENTRIES[leaf]['Metadata']
    assert metadata['Architecture'] == architecture(name)
    assert metadata['Batch Size'] == int(name['batch'])
    assert metadata['Epochs'] == int(name['epochs'])
    assert metadata['Resolution'] == f'{name["res"]}x{name["res"]}'
    assert metadata['Pretrained'] == {
        None: 'None', 'clip': 'CLIP-400M', 'pe-core': 'PE-Core (meta)',
        'siglip2': 'WebLI', 'datacomp': 'DataComp-1B'}[name['pre']]
    # MSR-VTT's test on all its videos trains on the 7k list.
    assert metadata['Training Data'].lower().replace('-', '') == name[
        'dataset'].replace('full', '7k').replace('-', '')
    assert metadata['Task'] == 'Video Retrieval'
    assert isinstance(metadata['Parameters'], int)
    row, = (row for row in LEAVES if row['name'] == leaf)
    digits = len(row['GMACs/video'].split('.')[1])
    assert row['GMACs/video'] == f'{metadata["FLOPs"] / 1e9:.{digits}f}'


@pytest.mark.parametrize('leaf', NAMES)
def test_results_of_the_metafile_are_ours(leaf):
    row, = (row for row in LEAVES if row['name'] == leaf)
    ours = {title[4:7]: cell.split(' / ') for title, cell in row.items()
            if title.startswith('our ')}
    assert list(ours) == ['t2v', 'v2t']
    results = ENTRIES[leaf].get('Results')
    if results is None:
        assert list(ours.values()) == [['–'], ['–']]
        return
    tasks = ['Text-to-Video Retrieval', 'Video-to-Text Retrieval']
    assert [result['Task'] for result in results] == tasks
    for result, cells in zip(results, ours.values()):
        assert [f'{x:.1f}' for x in result['Metrics'].values()] == cells
        assert list(result['Metrics']) == [
            'Recall@1', 'Recall@5', 'Recall@10'][:len(cells)]


@pytest.mark.slow
def test_counts_of_the_metafile(run_tool, tmp_path):
    leaves = [leaf for leaf in NAMES if re.match(
        r'clip4clip-wti_.*shapes|centerclip-b6-3-49_.*msvd', leaf)]
    assert len(leaves) == 2
    paths = {leaf: str(path) for leaf in leaves for path in RETRIEVAL
             if path.stem == leaf}
    out = tmp_path / 'out.json'
    run_tool('analysis_tools/get_flops.py', *paths.values(), '--out', out)
    counts = json.loads(out.read_text())
    for leaf, path in paths.items():
        metadata = ENTRIES[leaf]['Metadata']
        assert round(1e9 * counts[path]['video_gmacs']) == metadata['FLOPs']
        assert round(1e6 * counts[path]['params_m']) == metadata['Parameters']


def at(cfg, key):
    """Return the config's value at a key of ``--cfg-options``, or None."""
    for part in key.split('.'):
        if isinstance(cfg, (list, tuple)):
            cfg = cfg[int(part)]
        else:
            cfg = cfg.get(part)
        if cfg is None:
            return None
    return cfg


def state_shapes(model):
    return {key: tuple(x.shape) for key, x in model.state_dict().items()}


OPTIONS = [row for rows in ROWS.values() for row in rows if row.get('options')]


@pytest.mark.parametrize('row', OPTIONS, ids=lambda row: '-'.join(
    [NAMES[row['name']]['dataset'], row['options'].strip('`').split('.')[-1]]))
def test_options_of_a_readme(row):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = parser.parse_args(
        ['--cfg-options', *row['options'].strip('`').split()]).cfg_options
    name = NAMES[row['name']]
    path, = (path for path in RETRIEVAL if path.stem == row['name'])
    leaf, cfg = config(path), config(path)
    cfg.merge_from_dict(options)
    for key, value in options.items():
        before = at(leaf, key)
        assert at(cfg, key) == value != before
        # What a model's part does not spell has a default; other options exist.
        assert key.startswith('model.') or before is not None, key
    if isinstance(cfg.model.arch, str):
        assert open_clip.get_model_config(cfg.model.arch)
    if row is not next(x for x in OPTIONS if x['options'] == row['options']):
        return  # Of options that several rows have, one model is built.
    if any(key.startswith('model.') for key in options):
        assert_differ(build(leaf.model), build(cfg.model), int(name['frames']))
    elif 'test_dataloader.dataset.pipeline.1.clip_len' in options:
        frames = options['test_dataloader.dataset.pipeline.1.clip_len']
        segments = encode(build(cfg.model), frames)['segments'].shape[1]
        assert segments == int(name['segments'])


def assert_differ(leaf, model, frames):
    """That a model is another one, or encodes otherwise by the same weights."""
    if state_shapes(leaf) != state_shapes(model):
        encode(model, frames)
        return
    model.load_state_dict(leaf.state_dict())
    ours, theirs = (encode(m, frames)['segments'] for m in (leaf, model))
    assert ours.shape != theirs.shape or not torch.allclose(ours, theirs)


def test_the_model_zoo_is_that_of_the_metafiles():
    script = runpy.run_path(str(ROOT / 'docs/make_model_zoo.py'))
    page = (CONFIGS / 'retrieval/README.md').read_text()
    assert page == script['zoo_page'](), 'run docs/make_model_zoo.py'
