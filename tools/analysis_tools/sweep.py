#!/usr/bin/env python
"""Measure quality and price of many reducers at many budgets, as one table.

Each cell is a config, a reducer, a budget, a seed, and a way in which the model meets
the reducer: put into a trained model of the config without necks (--checkpoint,
--pretrained), in training from scratch (--train), and in training further (--finetune);
one table has them side by side. Finished cells are in WORK_DIR/cells.jsonl and not
measured again. A cell that fails is a row that says why.
"""
import argparse
import csv
import io
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, check_choice, warn
from mmaction_centerclip.utils.files import write_text
from mmaction_centerclip.utils.progress import Progress

TRAIN = str(Path(__file__).resolve().parents[1] / 'train.py')


def add_figures(parser: argparse.ArgumentParser) -> None:
    """Add the options of which quality and which prices to measure."""
    quality = parser.add_argument_group('quality')
    quality.add_argument('--no-retrieval', action='store_true',
                         help="leave the config's test data out")
    quality.add_argument('--videos', metavar='FOLDER',
                         help='also compare features of clips of these videos with and '
                         'without the reducer')
    quality.add_argument('--clips', type=cli.positive_int, default=96,
                         help='clips to cut from --videos; default: 96')
    quality.add_argument('--quality', help='the figure to draw; default: t2v/R1, of '
                         'cells that are trained finetuned/t2v/R1 or scratch/t2v/R1, '
                         'or clips/cosine with --no-retrieval')
    quality.add_argument('--against', nargs='+', metavar='NAME', default=['none'],
                         help='reducers to compare R@1 with, query by query; default: '
                         'none, the model without')
    price = parser.add_argument_group('price')
    price.add_argument(
        '--price', nargs='+', choices=['evaluation', 'step'], default=[],
        help='what to time beside the tower: the evaluation, from frames in memory to '
        'recalls, and the whole training step')
    price.add_argument('--compile', action='store_true',
                       help='torch.compile of the timed towers; minutes a cell')
    price.add_argument('--clock', choices=['wall', 'process'], default='wall',
                       help='process: CPU time of one thread, for a machine that is '
                       'shared; default: wall')
    price.add_argument('--repeats', type=cli.positive_int, default=40,
                       help='timed calls, in turns with the model without necks; of '
                       'training steps a quarter')
    price.add_argument('--batch-size', type=cli.positive_int, default=8,
                       help='videos of a timed call')
    cli.add_device(price)


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='+', help='of retrievers; their necks are left '
                        'out')
    parser.add_argument('--work-dir', required=True,
                        help='where cells.jsonl, table.csv, table.md and sweep.png go')
    what = parser.add_argument_group('what to measure')
    what.add_argument('--reducers', nargs='+', metavar='NAME',
                      help='of docs/benchmark.md, and of --reducer-file; default: all '
                      'of the file, or of the page. The model without any is always '
                      'there')
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
    ways = parser.add_argument_group('ways to meet a reducer, at least one')
    weights = ways.add_mutually_exclusive_group()
    weights.add_argument(
        '--checkpoint', metavar='PATTERN',
        help='of the trained model without necks; {seed} and {config} in it stand for '
        "the cell's")
    weights.add_argument(
        '--pretrained', nargs='?', const='', metavar='TAG',
        help="a tag of open_clip for the config's arch, or a file; by itself, what "
        'the config names')
    ways.add_argument('--train', action='store_true',
                      help='train each cell from scratch, or from what the config '
                      'names, with tools/train.py, in WORK_DIR/train')
    ways.add_argument('--finetune', metavar='PATTERN',
                      help='likewise from a checkpoint, of a pattern as above')
    cli.add_cfg_options(ways, '--finetune-options', 'override settings of the config '
                        'for --finetune alone, such as its schedule')
    cli.add_cfg_options(parser)
    cli.add_allow_other(parser)
    add_figures(parser)
    parser.add_argument('--retry-failed', action='store_true',
                        help='measure failed cells again')
    parser.add_argument('--format', choices=['png', 'svg', 'pdf'], default='png',
                        help='of the picture')
    args = parser.parse_args()
    if not (args.checkpoint or args.pretrained is not None or args.train
            or args.finetune):
        parser.error('one of --checkpoint, --pretrained, --train and --finetune is '
                     'needed')
    if len({Path(path).stem for path in args.config}) < len(args.config):
        parser.error('configs are told apart by their names, which must differ')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch

import mmaction_centerclip.benchmarking as bench
from mmaction_centerclip.engine import launching, lock_work_dir
from mmaction_centerclip.utils.tables import format_table


def read_reducers(args: argparse.Namespace) -> dict[str, dict]:
    """Return the options of the chosen reducers."""
    known, given = bench.REDUCERS, {}
    if args.reducer_file:
        given = bench.check_reducers(launching.read_config(args.reducer_file).get(
            'reducers'), args.reducer_file)
    args.reducers = args.reducers or [*(given or known)]
    known = {**known, **given}
    for name in args.reducers:
        check_choice('--reducers', name, known)
    for name in args.against:
        check_choice('--against', name, ['none', *args.reducers])
    return {name: known[name] for name in args.reducers}


def fill_in(pattern: str, path: str, seed: int) -> str:
    """Put seed and config into the pattern of a checkpoint, which must be there."""
    found = pattern.replace('{seed}', str(seed)).replace('{config}', Path(path).stem)
    launching.check_checkpoint(found)
    return found


def make_runs(path: str, seed: int, args: argparse.Namespace) -> Iterator[bench.Run]:
    """Yield the runs of a config and a seed, one for each way."""
    quality = bench.Quality(not args.no_retrieval, args.videos, args.clips)
    prices = [name for name in bench.PRICES if name in ('tower', *args.price)]
    prices = bench.Prices(prices, args.clock, args.repeats, args.batch_size,
                          args.device, args.compile)

    def make_run(way: str, pretrained: str | None, checkpoint: str | None = None
                 ) -> bench.Run:
        options = {**args.cfg_options,
                   **(args.finetune_options if way == 'finetuned' else {})}
        cfg = launching.read_config(path, {
            name: value.replace('{seed}', str(seed)) if isinstance(value, str)
            else value for name, value in options.items()}, args.allow_other)
        if pretrained:
            cfg.model.pretrained = pretrained
        train = None if way == 'put in' else partial(
            bench.run_training, TRAIN, Path(args.work_dir, 'train'))
        return bench.Run(path, cfg, seed, quality, prices, way, checkpoint, train)

    if args.checkpoint or args.pretrained is not None:
        yield make_run('put in', args.pretrained, args.checkpoint and fill_in(
            args.checkpoint, path, seed))
    if args.train:
        yield make_run('scratch', None)
    if args.finetune:
        yield make_run('finetuned', fill_in(args.finetune, path, seed))


def measure_cells(plan: list[tuple[bench.Run, list[dict]]], log: bench.CellLog,
                  again: bool) -> None:
    """Add the rows that are not in the log, or, again, failed."""

    def pends(cell: dict) -> bool:
        row = log.rows.get(bench.cell_key(cell))
        return row is None or again and 'failed' in row

    pending = [(run, list(filter(pends, cells))) for run, cells in plan]
    left, every = (sum(len(cells) for _, cells in part) for part in (pending, plan))
    print(f'{every} cells, {every - left} of them done before')
    bar, told, data = Progress(left), None, None
    for run, cells in pending:
        if not cells:
            continue
        model = run.twin()
        test = run.path, repr(run.cfg.get('test_dataloader'))
        if test != told:  # Seeds and ways share it.
            told, data = test, run.read_data(model)
        for row in run.rows(cells, model, data):
            log.append(row)
            bar.update()


def write_results(rows: list[dict], args: argparse.Namespace) -> None:
    """Print the table, and write it and the picture."""
    lines, folder = bench.summarize_cells(rows), Path(args.work_dir)
    clock = 'CPU time' if args.clock == 'process' else 'wall time'
    title = (f'{bench.describe_machine(args.device)}, {clock}, {args.batch_size} '
             f'videos a call, {args.repeats} calls in turns'
             f'{", compiled" * args.compile}; mean ± sample standard deviation over '
             'seeds')
    print(f'\n{title}\n{bench.format_sweep(lines)}')
    table = io.StringIO()
    writer = csv.DictWriter(table, dict.fromkeys(chain.from_iterable(lines)))
    writer.writeheader()
    writer.writerows(lines)
    write_text(table.getvalue(), folder / 'table.csv')
    pages = [bench.sweep_markdown(lines, title)]
    for name in args.against:
        titles, cells = bench.differences_table(bench.compare_cells(rows, name))
        if cells:
            heading = (f'R@1 minus that of {name} at the same budget, in points, with '
                       '95 % intervals by a bootstrap over seeds and videos:')
            print(f'\n{heading}\n{format_table(titles, cells)}')
            pages.append(f'{heading}\n\n{bench.markdown_table(titles, cells)}')
    write_text('\n'.join(pages), folder / 'table.md')
    if not any('figures' in row for row in rows):
        raise InputError('every cell failed; the table above says why')
    quality = args.quality or ('clips/cosine' if args.no_retrieval else next(
        name for name in ('t2v/R1', 'finetuned/t2v/R1', 'scratch/t2v/R1')
        if any(name in line for line in lines)))
    picture = folder / f'sweep.{args.format}'
    bench.plot_sweep(lines, quality, str(picture), title)
    print(f'Saved {folder / "table.csv"}, table.md and {picture.name}')


@cli.exit_on_input_error()
def main(args: argparse.Namespace) -> None:
    if len({*args.seeds}) < len(args.seeds):
        raise InputError(f'--seeds: expected each once, got {args.seeds}')
    if args.clock == 'process':
        torch.set_num_threads(1)
        bench.check_cpu_time(args.device)
    weights = args.checkpoint or args.pretrained
    if len(args.seeds) > 1 and weights is not None and '{seed}' not in weights:
        warn('All seeds have the same weights; put in, they differ in what reducers '
             'draw at random alone')
    reducers, budgets = read_reducers(args), list(map(bench.parse_budget, args.budgets))
    plan = [(run, run.cells(reducers, budgets)) for path in args.config
            for seed in args.seeds for run in make_runs(path, seed, args)]
    lock_work_dir(args.work_dir)
    log = bench.CellLog(Path(args.work_dir, 'cells.jsonl'))
    measure_cells(plan, log, args.retry_failed)
    keys = [bench.cell_key(cell) for _, cells in plan for cell in cells]
    write_results([log.rows[key] for key in keys], args)


if __name__ == '__main__':
    main(ARGS)
