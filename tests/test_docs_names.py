"""The documentation names what there is: files, options, figures."""
import pkgutil
import re

import pytest
import torch.distributed.run
from mmaction.registry import HOOKS, METRICS, MODELS

import mmaction_centerclip.models

from .doc_code import (
    BASE,
    PAGES,
    README,
    check_tool,
    commands_of,
    inline_code_of,
    options_of,
    parser_of,
)
from .paths import CONFIGS, ROOT

each_page = pytest.mark.parametrize('page', PAGES.values(), ids=list(PAGES))


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@each_page
def test_options_in_the_prose(page):
    tools = [path for path in (ROOT / 'tools').rglob('*.py')
             if 'parse_args()' in path.read_text()]
    known = {option for tool in tools for option in
             options_of(parser_of(str(tool.relative_to(ROOT))))}
    known |= options_of(torch.distributed.run.get_args_parser())
    for code in inline_code_of(page):
        assert set(re.findall(r'(?<!\S)--[a-z][\w-]*', code)) <= known, code
        if code.startswith('--cfg-options '):
            command, = commands_of(f'python tools/train.py {BASE} {code}')
            check_tool('tools/train.py', command.args[1:])


@each_page
def test_names_in_the_prose(page):
    """Files, modules and what is registered exist."""
    text = page.read_text()
    paths = re.findall(
        r'(?<![\w/.])((?:\.ci|configs|docs|tests|tools|mmaction_centerclip)/[\w./-]+'
        r'\.\w+)', text)
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    for name in re.findall(r'`(mmaction_centerclip(?:\.\w+)+)`', text):
        pkgutil.resolve_name(name)
    for name in re.findall(
            r'`([A-Z]\w+(?:Tower|Head|Hook|Loss|Metric|Clustering|Selection))`', text):
        assert hasattr(mmaction_centerclip.models, name) or any(
            name in registry for registry in (MODELS, HOOKS, METRICS)), name


def slugs_of(page):
    """The anchors of a page's headings."""
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
            for heading in re.findall(r'^#+ (.*)$', page.read_text(), re.M)}


@each_page
def test_links(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        if target.startswith('https://'):
            continue
        name, _, anchor = target.partition('#')
        path = page.parent / name if name else page
        assert path.exists(), target
        assert not anchor or anchor in slugs_of(path), target


def test_the_readme_is_short():
    text = README.read_text()
    assert len(text.splitlines()) <= 100
    assert len(re.findall(r'\]\(', text)) <= 15


def test_the_readmes_figures_are_those_of_the_configs():
    """Recalls of the README are the benchmark's; those of seed 42 are the zoo's."""
    page = PAGES['benchmark'].read_text()
    rows = re.findall(r'^\| (?:none|`).*\d \|$', README.read_text(), re.M)
    assert len(rows) == 6
    for recalls in re.findall(r'\| (\d+\.\d) / (\d+\.\d)', '\n'.join(rows)):
        assert re.search(r'\| {} ± \S+ / {} ± '.format(*recalls), page), recalls
    table = re.findall(r'^\| (?:none: |`T|`S|`R).*, .*\d \|$', page, re.M)
    zoo = (CONFIGS / 'retrieval/README.md').read_text()
    for row, name in (table[0], 'clip4clip'), (table[-1], 'centerclip-b2-2-16'):
        line, = re.findall(rf'^\| \[{name}_vit-tiny.*-10e_shapes-rgb.*$', zoo, re.M)
        assert f'| {row.split(" | ")[2].split(",")[0]} |' in line
