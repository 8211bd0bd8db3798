#!/usr/bin/env python
"""Compare the similarity heads on the shapes data, with and without clustering.

On ``--data shapes``, every head starts from the towers of one CLIP4Clip trained
with mean pooling, as heads do that start from a pretrained CLIP, and goes on
with them for some epochs. On ``--data motion``, videos many of which differ in
the direction alone, CLIP4Clip's heads are trained from scratch. All through
tools/train.py; steps that are done already are skipped.

Prints mean and standard deviation over seeds of R@1 and, of the motion data, of
how often a caption is closer to its video than the same caption with the
opposite direction: 50 per cent is chance, and all that a head without an order
of frames can have.
"""
import argparse
import json
import os
import re
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from run_shapes import ROOT, last_checkpoint, run

from mmaction_centerclip.benchmarking import read_run
from mmaction_centerclip.cli import positive_int
from mmaction_centerclip.evaluation import load_features, product_scores
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.progress import track
from mmaction_centerclip.tables import format_table

HEADS = ('meanp', 'seqtransf', 'seqlstm', 'tighttransf', 'wti', 'xpool')
TOWERS = dict(clip4clip='clip4clip', centerclip='centerclip-b2-2-16')
# Per data: its folder, how it is rendered, and the configs that go with it.
DATA = dict(
    shapes=dict(
        root='data/shapes', options=[], configs='_*shapes-rgb.py',
        heads=HEADS, towers=tuple(TOWERS)),
    motion=dict(
        root='data/shapes_motion', options=['--only-motion'],
        configs='_*shapes-motion-rgb.py',
        heads=('meanp', 'seqtransf', 'seqlstm'), towers=('clip4clip', )))
OPPOSITE = dict(left='right', right='left', up='down', down='up')
TITLES = {'t2v/R1': 't2v R@1', 'v2t/R1': 'v2t R@1', 'direction': 'direction'}


def find_config(data: str, folder: str, head: str) -> Path:
    """Find the config of a head, with or without clustering."""
    suffix = '' if head == 'meanp' else f'-{head}'
    path, = (ROOT / 'configs' / 'retrieval' / folder).glob(
        f'{TOWERS[folder]}{suffix}{DATA[data]["configs"]}')
    return path


def opposite(caption: str) -> str:
    """Turn around the direction of motion in a caption."""
    words = rf'\b({"|".join(OPPOSITE)})\b'
    return re.sub(words, lambda word: OPPOSITE[word[0]], caption)


def write_directions(data_root: Path, out: Path) -> None:
    """Annotate each test video with its first caption and the opposite one."""
    videos = json.loads((data_root / 'test.json').read_text())
    out.write_text(json.dumps({name: [captions[0], opposite(captions[0])]
                               for name, captions in videos.items()}))


def direction_accuracy(path: Path) -> float:
    """Return the per cent of videos that prefer their caption to its opposite."""
    features = load_features(str(path))
    scores = features.similarity
    if scores is None:
        scores = product_scores(features.text, features.video)
    own = scores.gather(1, features.video_of_text[:, None]).view(-1, 2)
    wins = (own[:, 0] > own[:, 1]).double() + (own[:, 0] == own[:, 1]) / 2
    return 100 * wins.mean().item()


def train(config: Path, work_dir: Path, epochs: int | None, threads: int,
          *options: str) -> str:
    """Train, or go on with it, and return the last checkpoint."""
    if epochs is not None:
        options += (f'train_cfg.max_epochs={epochs}',
                    f'train_cfg.val_interval={epochs}', f'param_scheduler.end={epochs}')
    run(ROOT / 'tools' / 'train.py', config, '--work-dir', work_dir, '--resume',
        '--cfg-options', *options, threads=threads, log=work_dir / 'train.log')
    return last_checkpoint(work_dir)


def measure(folder: str, head: str, seed: int, base: str | None,
            args: argparse.Namespace) -> dict[str, float]:
    """Train and test one model; read its results if they are there."""
    root = Path(args.work_dir).resolve()
    work_dir = root / f'{folder}-{head}-seed{seed}'
    table = work_dir / 'result.json'
    settings = dict(epochs=args.epochs, base_epochs=args.base_epochs)
    if table.exists():
        result = json.loads(table.read_text())
        if result['settings'] != settings:
            sys.exit(f'error: {work_dir} was made with {result["settings"]}, not '
                     f'{settings}; give another --work-dir')
        return result
    config = find_config(args.data, folder, head)
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    options = [f'randomness.seed={seed}']
    options += [f'model.pretrained={base}'] if base else []
    checkpoint = train(
        config, work_dir, args.epochs if base else None, threads, *options)
    # Training ends with an evaluation.
    result = dict(read_run(work_dir).evaluations['val'][-1], settings=settings)
    if args.data == 'motion':
        features = work_dir / 'directions.pth'
        features.unlink(missing_ok=True)  # Of a run interrupted after this.
        run(ROOT / 'tools' / 'test.py', config, checkpoint, '--work-dir',
            work_dir / 'directions', '--dump', features, '--cfg-options',
            f'test_dataloader.dataset.ann_file={root / "directions.json"}',
            threads=threads, log=work_dir / 'directions.log')
        result['direction'] = direction_accuracy(features)
    table.write_text(json.dumps(result))
    return result


def format_rows(rows: dict[tuple[str, str], list[dict]]) -> str:
    """Format a row a head and tower: mean and standard deviation over seeds."""
    first = next(iter(rows.values()))[0]
    titles = {name: title for name, title in TITLES.items() if name in first}
    cells = []
    for (folder, head), results in rows.items():
        cells.append([head, folder, len(results)])
        for name in titles:
            values = [result[name] for result in results]
            spread = statistics.stdev(values) if len(values) > 1 else 0.
            cells[-1].append(f'{statistics.fmean(values):.1f} ± {spread:.1f}')
    return format_table(['head', 'tower', 'seeds', *titles.values()], cells)


def parse_args() -> argparse.Namespace:
    parser = ToolParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--data', choices=list(DATA), default='shapes', help='default: shapes')
    parser.add_argument('--heads', nargs='+', choices=HEADS, help='default: all')
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--jobs', type=positive_int, default=2,
                        help='models to train at a time, default: 2')
    parser.add_argument('--work-dir', help='default: work_dirs/shapes_heads/DATA')
    parser.add_argument('--base-epochs', type=positive_int,
                        help='of the common start, on the shapes, default: 10')
    parser.add_argument('--epochs', type=positive_int,
                        help='of each head, on the shapes, default: 4')
    args = parser.parse_args()
    known = DATA[args.data]['heads']
    unknown = set(args.heads or ()) - set(known)
    if unknown:
        parser.error(f'--data {args.data} goes with --heads {" ".join(known)}, got '
                     f'{" ".join(sorted(unknown))}')
    if args.data == 'motion' and (args.epochs or args.base_epochs):
        parser.error('--epochs and --base-epochs go with --data shapes; the '
                     'motion configs say how long they train')
    if args.data == 'shapes':
        args.epochs, args.base_epochs = args.epochs or 4, args.base_epochs or 10
    args.work_dir = args.work_dir or f'work_dirs/shapes_heads/{args.data}'
    return args


def main() -> None:
    args = parse_args()
    root, data = Path(args.work_dir).resolve(), DATA[args.data]
    run(ROOT / 'tools' / 'data' / 'shapes' / 'prepare_shapes.py',
        *data['options'], threads=1, log=root / 'prepare.log')
    write_directions(Path(data['root']), root / 'directions.json')
    base = None
    if args.data == 'shapes':
        base = train(find_config('shapes', 'clip4clip', 'meanp'), root / 'base',
                     args.base_epochs, os.cpu_count() or 1)
    jobs = [(folder, head, seed) for seed in args.seeds
            for head in args.heads or data['heads'] for folder in data['towers']]
    rows: dict[tuple[str, str], list[dict]] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda job: measure(*job, base, args), jobs)
        for folder, head, _ in track(jobs):
            rows.setdefault((folder, head), []).append(next(results))
    print(f'\n\nThe {args.data} data, torch {torch.__version__}, per cent:')
    print(format_rows(rows))


if __name__ == '__main__':
    main()
