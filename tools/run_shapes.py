#!/usr/bin/env python
"""Train CenterCLIP and the same model without clustering, and compare them.

Renders the shapes data into data/ of the current folder, trains and tests both models
from scratch, and prints one table. Steps that are done already are skipped.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from mmaction_centerclip import cli


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default='work_dirs/shapes',
                        help='where logs, checkpoints and table.json go')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import torch
from mmaction.registry import DATASETS
from mmengine.dataset import pseudo_collate

from mmaction_centerclip.apis import init_retriever
from mmaction_centerclip.benchmarking import count_macs, encoding, time_turns
from mmaction_centerclip.utils.tables import format_table

ROOT = Path(__file__).resolve().parents[1]
RETRIEVAL = ROOT / 'configs' / 'retrieval'
RECIPE = 'vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py'
CONFIGS = {
    'CLIP4Clip': RETRIEVAL / 'clip4clip' / f'clip4clip_{RECIPE}',
    'CenterCLIP': RETRIEVAL / 'centerclip' / f'centerclip-b2-2-16_{RECIPE}',
}
METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def run(*command: object) -> None:
    """Run a tool of this project, whose output is this program's."""
    print('$', *command, flush=True)
    if subprocess.run([sys.executable, *map(str, command)]).returncode:
        sys.exit(f'error: {Path(command[0]).name} failed, see above')


def train_and_test(config: Path, work_dir: Path) -> dict[str, float]:
    """Train (or continue), test, and return the metrics of the test."""
    run(ROOT / 'tools' / 'train.py', config, '--work-dir', work_dir, '--resume')
    run(ROOT / 'tools' / 'test.py', config, last_checkpoint(work_dir),
        '--work-dir', work_dir / 'test')
    results = max((work_dir / 'test').glob('*/[0-9]*.json'),
                  key=lambda path: path.stat().st_mtime)
    return json.loads(results.read_text())


def last_checkpoint(work_dir: Path) -> str:
    """Return the checkpoint that training ended with."""
    return (work_dir / 'last_checkpoint').read_text().strip()


def measure(work_dirs: dict[str, Path], num_videos: int = 16) -> dict:
    """Measure GMACs and milliseconds per video of the trained vision towers."""
    encoders = {}
    for name, path in CONFIGS.items():
        model = init_retriever(path, last_checkpoint(work_dirs[name]))
        dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
        batch = pseudo_collate([dataset[i] for i in range(num_videos)])
        encoders[name] = encoding(model, model.data_preprocessor(batch)['inputs'])
    times = time_turns(encoders, 15, 3)
    return {name: dict(gmacs=count_macs(encoder) / num_videos / 1e9,
                       ms=statistics.median(times[name]) / num_videos)
            for name, encoder in encoders.items()}


def format_rows(rows: dict[str, dict]) -> str:
    """Format a table with a row a model."""
    return format_table(['model', *METRICS, 'GMACs/video', 'ms/video'], [
        [name, *(f'{row[f"retrieval/{metric}"]:.1f}' for metric in METRICS),
         f'{row["gmacs"]:.4f}', f'{row["ms"]:.2f}']
        for name, row in rows.items()])


def main(args: argparse.Namespace) -> None:
    work_dir = args.work_dir.resolve()
    run(ROOT / 'tools' / 'data' / 'shapes' / 'prepare_shapes.py')
    work_dirs = {name: work_dir / name.lower() for name in CONFIGS}
    rows = {name: train_and_test(config, work_dirs[name])
            for name, config in CONFIGS.items()}
    for name, costs in measure(work_dirs).items():
        rows[name].update(costs)

    print(f'\nText-video retrieval on the shapes data, {torch.get_num_threads()}'
          ' CPU threads; recall in per cent, cost of the vision tower:')
    print(format_rows(rows))
    table = work_dir / 'table.json'
    table.write_text(json.dumps(rows, indent=1))
    print(f'Saved to {table}')


if __name__ == '__main__':
    main(ARGS)
