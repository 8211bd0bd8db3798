"""The code in pages of the documentation."""
import argparse
import ast
import functools
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch.distributed.run
from mmaction.registry import HOOKS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS
from mmengine.config import Config

from mmaction_centerclip.engine.config import find_config
from mmaction_centerclip.models.necks import single_necks

from .paths import CONFIGS, ROOT

README = ROOT / 'README.md'
DOCS = {path.stem: path for path in (README, *sorted((ROOT / 'docs').glob('*.md')))}
PAGES = dict(DOCS, CHANGELOG=ROOT / 'CHANGELOG.md')
BASE = CONFIGS / 'retrieval/centerclip' / (
    'centerclip-b6-4-49_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py')
# Where the config of train.py or test.py stands among a launcher's arguments,
# and how many of them are in front of that tool's options.
LAUNCHERS = {
    'tools/dist_train.sh': ('tools/train.py', slice(0, 1), 2),
    'tools/dist_test.sh': ('tools/test.py', slice(0, 2), 3),
    'tools/slurm_train.sh': ('tools/train.py', slice(2, 3), 3),
    'tools/slurm_test.sh': ('tools/test.py', slice(2, 4), 4),
}


class Block(NamedTuple):
    """A block of code of a page."""
    text: str
    place: str

    @property
    def file(self) -> str | None:
        """The file that the first line names, if it does."""
        name = re.match(r'# (\w+\.py)\n', self.text)
        return name and name[1]

    @property
    def is_config(self) -> bool:
        """True if there is nothing but variables of literals and dict()."""
        return all(
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and not any(isinstance(node, (ast.Attribute, ast.BinOp, ast.Compare))
                        or isinstance(node, ast.Call) and node.func.id != 'dict'
                        for node in ast.walk(statement.value))
            for statement in ast.parse(self.text).body)


class Command(NamedTuple):
    """A command of a page, and the PYTHONPATH in front of it."""
    python_path: str
    program: str
    args: list[str]


def blocks_of(page: Path, language: str) -> list[Block]:
    text = page.read_text()
    return [
        Block(match[2], f'{page.name}, line {text[:match.start()].count(chr(10)) + 2}')
        for match in re.finditer(r'^```(\w+)\n(.*?)^```$', text, re.M | re.S)
        if match[1] == language
    ]


def inline_code_of(page: Path) -> list[str]:
    prose = re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.M | re.S)
    return [' '.join(code.split()) for code in re.findall(r'`([^`]+)`', prose)]


def write_files(page: Path) -> None:
    """Write the files of a page's blocks to the working directory."""
    for block in blocks_of(page, 'python'):
        if block.file:
            Path(block.file).write_text(block.text)


def commands_of(text: str) -> list[Command]:
    """The commands of a block, as bash expands their arguments.

    Programs are not run: functions that print their arguments stand in for them.
    """
    functions = ''.join(
        f'{name}() {{ printf "%s\\0" "${{PYTHONPATH-}}" {name} "$@"; printf "\\1"; }}\n'
        for name in ('python', 'bash', 'pip', 'pytest', 'torchrun'))
    printed = subprocess.run(
        ['bash', '-euc', f'PATH=; unset PYTHONPATH\n{functions}{text}'], check=True,
        capture_output=True, text=True).stdout
    words = (command.split('\0')[:-1] for command in printed.split('\1')[:-1])
    return [Command(path, program, args) for path, program, *args in words]


@functools.cache
def parser_of(tool: str) -> argparse.ArgumentParser:
    """A tool's own parser, caught where it would parse."""

    class Caught(Exception):
        pass

    def catch(self, *args, **kwargs):
        raise Caught(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Caught) as caught:
        patch.syspath_prepend((ROOT / tool).parent)
        patch.setattr(sys, 'argv', [tool])
        patch.setattr(argparse.ArgumentParser, 'parse_args', catch)
        runpy.run_path(str(ROOT / tool), run_name='__main__')
    return caught.value.args[0]


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser, and of its commands."""
    commands = [p for action in parser._actions if isinstance(
        action, argparse._SubParsersAction) for p in action.choices.values()]
    return set(parser._option_string_actions).union(*map(options_of, commands))


def run_here(command: Command, *more: str) -> None:
    """Run a tool in this process, which is faster."""
    script, *args = command.args
    with pytest.MonkeyPatch.context() as patch:
        if command.python_path:
            # What is found in '.' is remembered of the folder that it was before.
            patch.syspath_prepend(os.path.abspath(command.python_path))
        patch.setattr(sys, 'argv', [script, *args, *more])
        runpy.run_path(script, run_name='__main__')


def build_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config, and build what it describes, without weights and data."""
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options or {})
    # The zoo's VideoMAE computes while it is built, which meta tensors cannot.
    computes = 'Recognizer3D' == cfg.model.type or (
        'VideoMAETower' == cfg.model.backbone.type)
    with torch.device('cpu' if computes else 'meta'):
        MODELS.build(dict(cfg.model))
    for name in cfg:
        if name.endswith('_evaluator'):
            METRICS.build(cfg[name])
        if name.endswith('_dataloader'):
            frames = cfg[name].dataset.pipeline[1].clip_len
            for transform in cfg[name].dataset.pipeline:
                TRANSFORMS.build(transform)
            for neck in single_necks(cfg.model.backbone.get('necks', ())):
                assert frames % neck.get('num_segments', 1) == 0
                frames = neck.get('num_segments', frames)
    for hook in filter(None, cfg.default_hooks.values()):
        HOOKS.build(hook)
    assert cfg.get('optim_wrapper', {}).get('type', 'OptimWrapper') in OPTIM_WRAPPERS
    return cfg


def check_tool(tool: str, args: list[str]) -> None:
    """Parse a tool's arguments, and build its config with their options."""
    parsed = parser_of(tool).parse_args(args)
    configs = getattr(parsed, 'config', None)
    if 'model_converters' in tool or configs is None:
        return
    for config in [configs] if isinstance(configs, str) else configs:
        if config != 'CONFIG':
            config = find_config(config)  # or an error
        if getattr(parsed, 'cfg_options', None):
            build_config(BASE if config == 'CONFIG' else config, parsed.cfg_options)


def check_command(program: str, args: list[str]) -> None:
    """Check that a program exists and takes the arguments."""
    if program == 'pip':
        extras = re.findall(r"'(\w+)': [\[A-Z]", (ROOT / 'setup.py').read_text())
        assert args[:2] == ['install', '-e']
        assert set(re.findall(r'\w+', args[2])) <= set(extras)
    elif program == 'pytest':
        assert args in ([], ['-m', ''], ['-m', 'gpu'])
        assert '    "slow: ' in (ROOT / 'pyproject.toml').read_text()
    elif program == 'torchrun':
        launched = torch.distributed.run.get_args_parser().parse_args(args)
        check_tool(launched.training_script, launched.training_script_args)
    elif program == 'bash':
        assert (ROOT / args[0]).is_file()
        tool, positional, count = LAUNCHERS[args[0]]
        check_tool(tool, [*args[1:][positional], *args[1 + count:]])
    else:  # torchrun's own options are in front of the tool
        start = next(i for i, word in enumerate(args) if word.endswith('.py'))
        assert program == 'torchrun' or start == 0
        check_tool(args[start], args[start + 1:])
