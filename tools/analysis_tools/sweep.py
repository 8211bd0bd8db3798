#!/usr/bin/env python
"""Measure quality and price of many reducers at many budgets, as one table.

Each cell is a config, a reducer, a budget and a seed. Without --train a
reducer is put, as it is, into a trained model of the config without necks.
Finished cells are in WORK_DIR/cells.jsonl: the same command goes on where a
killed one ended, and one with more cells measures those. A cell that fails is
a row that says why.
"""
import argparse
import csv
import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import torch
from mmengine.config import Config, DictAction

from mmaction_centerclip.benchmarking import (
    PRICES,
    REDUCERS,
    CellLog,
    CellRunner,
    cell_key,
    describe_machine,
    format_sweep,
    parse_budget,
    plot_sweep,
    summarize_cells,
    sweep_markdown,
    used_budget,
)
from mmaction_centerclip.cli import (
    check_checkpoint,
    exit_on_input_error,
    positive_int,
    read_config,
    torch_device,
)
from mmaction_centerclip.engine import find_resumable, lock_work_dir
from mmaction_centerclip.errors import InputError, check_choice
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.progress import Progress

TRAIN = Path(__file__).resolve().parents[1] / 'train.py'


def add_figures(parser: argparse.ArgumentParser) -> None:
    """Add the options of which quality and which prices to measure."""
    quality = parser.add_argument_group('quality')
    quality.add_argument('--no-retrieval', action='store_true',
                         help="leave the config's test data out")
    quality.add_argument('--videos', metavar='FOLDER',
                         help='also compare features of clips of these videos with and '
                         'without the reducer')
    quality.add_argument('--clips', type=positive_int, default=96,
                         help='clips to cut from --videos; default: 96')
    quality.add_argument('--quality', help='the figure to draw; default: t2v/R1, or '
                         'clips/cosine with --no-retrieval')
    price = parser.add_argument_group('price')
    price.add_argument(
        '--price', nargs='+', choices=PRICES, default=[],
        help='what to time beside the tower: the evaluation, from frames in memory to '
        'recalls, and the whole training step')
    price.add_argument('--compile', action='store_true',
                       help='torch.compile of the timed towers; minutes a cell')
    price.add_argument('--clock', choices=['wall', 'process'], default='wall',
                       help='process: CPU time of one thread, for a machine that is '
                       'shared; default: wall')
    price.add_argument('--repeats', type=positive_int, default=40,
                       help='timed calls, in turns with the model without necks; of '
                       'training steps a quarter')
    price.add_argument('--batch-size', type=positive_int, default=8,
                       help='videos of a timed call')
    price.add_argument('--device', type=torch_device, default='cpu')


def parse_args() -> argparse.Namespace:
    parser = ToolParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='+', help='of retrievers; their necks are left '
                        'out')
    parser.add_argument('--work-dir', required=True,
                        help='where cells.jsonl, table.csv, table.md and sweep.png go')
    what = parser.add_argument_group('what to measure')
    what.add_argument('--reducers', nargs='+', metavar='NAME', default=[*REDUCERS],
                      help=f'of {", ".join(REDUCERS)}, and of --reducer-file; '
                      'default: all. The model without any is always there')
    what.add_argument(
        '--reducer-file', metavar='FILE',
        help='a .py, .yaml or .json with "reducers": names with the options of a neck; '
        'those that a budget has can be left out')
    what.add_argument(
        '--budgets', nargs='+', required=True, metavar='BLOCK,SEGMENTS,TOKENS',
        help='in front of which block to leave how many segments of how many tokens, '
        'such as 7,3,49')
    what.add_argument('--seeds', nargs='+', type=int, default=[0],
                      help='of the weights, and of what a reducer draws at random')
    weights = parser.add_argument_group('weights, one of')
    weights = weights.add_mutually_exclusive_group(required=True)
    weights.add_argument(
        '--checkpoint', metavar='PATTERN',
        help='of the trained model without necks; {seed} and {config} in it stand for '
        "the cell's")
    weights.add_argument(
        '--pretrained', nargs='?', const='', metavar='TAG',
        help="a tag of open_clip for the config's arch, or a file; by itself, what "
        'the config names')
    weights.add_argument('--train', action='store_true',
                         help='train each cell with tools/train.py, in WORK_DIR/train')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='override settings of all configs, as key=value')
    add_figures(parser)
    parser.add_argument('--retry-failed', action='store_true',
                        help='measure failed cells again')
    parser.add_argument('--format', choices=['png', 'svg', 'pdf'], default='png',
                        help='of the picture')
    return parser.parse_args()


def read_reducers(args: argparse.Namespace) -> dict[str, dict]:
    """Return the options of the chosen reducers."""
    known = dict(REDUCERS)
    if args.reducer_file:
        found = read_config(args.reducer_file).get('reducers')
        if not isinstance(found, dict):
            raise InputError(f'{args.reducer_file}: expected reducers, a dict of names '
                             f'with the options of a neck, got {found!r}')
        known.update({name: dict(options) for name, options in found.items()})
    for name in args.reducers:
        check_choice('--reducers', name, known)
    return {name: known[name] for name in args.reducers}


def digest(config: str, checkpoint: str | None) -> str:
    """Return a digest of a config, with its bases, and of a checkpoint's file."""
    found = hashlib.sha256(repr(read_config(config).to_dict()).encode())
    if checkpoint:
        found.update(Path(checkpoint).read_bytes())
    return found.hexdigest()[:16]


def plan_cells(args: argparse.Namespace) -> list[dict]:
    """Return the options of all cells, those of one model in a row."""
    reducers = read_reducers(args)
    grid = [('none', None, (None, ) * 3)]
    for name, options in reducers.items():
        for budget in map(parse_budget, args.budgets):
            try:
                used = used_budget(options, budget)
            except InputError:  # which the cell's row will say
                used = tuple(budget)
            grid.append((name, options, used))
    shared = dict(
        train=args.train, pretrained=args.pretrained, cfg_options=args.cfg_options,
        retrieval=not args.no_retrieval, videos=args.videos,
        clips=args.clips if args.videos else 0, clock=args.clock,
        repeats=args.repeats, batch_size=args.batch_size, device=args.device,
        price=[name for name in PRICES if name in ('tower', *args.price)],
        compile=args.compile)
    cells = {}
    for config, seed in itertools.product(args.config, args.seeds):
        checkpoint = args.checkpoint and args.checkpoint.format(
            seed=seed, config=Path(config).stem)
        check_checkpoint(checkpoint)
        contents = digest(config, checkpoint)
        for name, options, (block, segments, tokens) in grid:
            cell = dict(config=Path(config).stem, path=config, seed=seed, reducer=name,
                        options=options, block=block, segments=segments,
                        tokens=tokens, checkpoint=checkpoint, contents=contents,
                        **shared)
            cells[cell_key(cell)] = cell
    return [*cells.values()]


def run_training(cfg: Config, seed: int, folder: Path) -> str:
    """Train by tools/train.py, going on where a killed one ended."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder.with_suffix('.py'))
    log = folder.with_suffix('.log')
    with log.open('w') as file:
        result = subprocess.run(
            [sys.executable, TRAIN, folder.with_suffix('.py'), '--work-dir', folder,
             '--seed', str(seed), '--resume'], stdout=file, stderr=subprocess.STDOUT)
    if result.returncode:
        said = log.read_text(errors='replace').splitlines() or ['']
        raise InputError(f'the training failed, see {log}: '
                         f'{said[-1].removeprefix("error: ")}')
    return find_resumable(str(folder))


def write_csv(lines: list[dict], path: Path) -> None:
    """Write a row for each line, with the columns of all."""
    names = dict.fromkeys(name for line in lines for name in line)
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)


def sweep(args: argparse.Namespace) -> None:
    """Measure the cells that are not yet, and write table and picture."""
    cells = plan_cells(args)
    lock_work_dir(args.work_dir)
    folder = Path(args.work_dir)
    log = CellLog(folder / 'cells.jsonl')
    pending = [cell for cell in cells if cell_key(cell) not in log.rows or (
        args.retry_failed and 'failed' in log.rows[cell_key(cell)])]
    print(f'{len(cells)} cells, {len(cells) - len(pending)} of them done before')
    run, bar = CellRunner(run_training, args.work_dir), Progress(len(pending))
    for cell in pending:
        log.append(run(cell))
        bar.update()
    lines = summarize_cells([log.rows[cell_key(cell)] for cell in cells])
    clock = 'CPU time' if args.clock == 'process' else 'wall time'
    title = (f'{describe_machine(args.device)}, {clock}, {args.batch_size} videos a '
             f'call, {args.repeats} calls in turns{", compiled" * args.compile}; '
             'mean ± sample standard deviation over seeds')
    print(f'\n{title}\n{format_sweep(lines)}')
    write_csv(lines, folder / 'table.csv')
    (folder / 'table.md').write_text(sweep_markdown(lines, title), encoding='utf-8')
    if all('figures' not in row for row in map(log.rows.get, map(cell_key, cells))):
        raise InputError('every cell failed; the table above says why')
    quality = args.quality or ('clips/cosine' if args.no_retrieval else 't2v/R1')
    picture = folder / f'sweep.{args.format}'
    plot_sweep(lines, quality, str(picture), title)
    print(f'Saved {folder / "table.csv"}, table.md and {picture.name}')


def main() -> None:
    args = parse_args()
    if args.clock == 'process':
        torch.set_num_threads(1)
    with exit_on_input_error():
        sweep(args)


if __name__ == '__main__':
    main()
