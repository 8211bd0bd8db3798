#!/usr/bin/env python
"""Make the pictures of docs/visualization.md.

Renders the shapes data, trains a tiny CenterCLIP on it for four epochs, and
draws what it keeps and where it fails. In minutes on two CPU cores; steps that
are done already are skipped.
"""
import subprocess
import sys
from pathlib import Path

import cv2

# First: only then does mmaction take a newer mmcv.
import mmaction_centerclip  # noqa: F401
from mmaction_centerclip.cli import ToolParser
from mmaction_centerclip.evaluation import choose_scorer, load_features, score_matrix
from mmaction_centerclip.visualization import (
    Hit,
    film_strip,
    result_sheet,
    worst_queries,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'retrieval' / 'centerclip' / (
    'centerclip-b2-2-16_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py')
VIDEO = ROOT / 'data' / 'shapes' / 'videos' / 'test0003.mp4'
EPOCHS = 4
# The same weights with another neck, which has none of its own.
MERGING = f'''_base_ = {str(CONFIG)!r}
model = dict(
    backbone=dict(necks=[dict(type='TokenMerging', before_block=[1, 2, 3], r=4)]))
'''


def run(*command: object) -> None:
    """Run a tool of this project."""
    print('$', *command, flush=True)
    result = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT)
    if result.returncode:
        sys.exit(f'error: {Path(str(command[0])).name} failed, see above')


def train(work_dir: Path) -> Path:
    """Train for a few epochs, and return the checkpoint."""
    run('tools/data/shapes/prepare_shapes.py')
    checkpoint = work_dir / f'epoch_{EPOCHS}.pth'
    if not checkpoint.exists():
        run('tools/train.py', CONFIG, '--work-dir', work_dir, '--resume',
            '--cfg-options', f'train_cfg.max_epochs={EPOCHS}',
            f'train_cfg.val_interval={EPOCHS}', f'param_scheduler.end={EPOCHS}')
    return checkpoint


def draw_worst_query(features_file: Path, out: Path) -> None:
    """Draw the result sheet of the caption whose own video comes last."""
    features = load_features(str(features_file))
    similarity = score_matrix(choose_scorer(features), features.text, features.video)
    worst, = worst_queries(similarity, features.video_of_text, 1, topk=3)
    own = features.video_of_text[worst.text].item()
    ranks = [str(i) for i, _ in enumerate(worst.videos, 1)] + [f'{worst.rank:g}']
    hits = [Hit(rank, Path(features.filenames[video]).name,
                similarity[worst.text, video].item(), video == own,
                film_strip(str(ROOT / features.filenames[video]), height=64))
            for rank, video in zip(ranks, [*worst.videos, own])]
    sheet = result_sheet(hits, features.captions[worst.text])
    cv2.imwrite(str(out), sheet[..., ::-1])


def main() -> None:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', default='work_dirs/pictures',
                        help='where the checkpoint and the features go')
    parser.add_argument('--out', default='docs/pictures',
                        help='the folder of the pictures')
    args = parser.parse_args()
    work_dir, out = Path(args.work_dir).resolve(), Path(args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)

    checkpoint = train(work_dir)
    merging = work_dir / 'token_merging.py'
    merging.write_text(MERGING)
    vis_tokens = 'tools/visualizations/vis_tokens.py'
    run(vis_tokens, CONFIG, checkpoint, VIDEO, '--out', out / 'clusters.png')
    run(vis_tokens, merging, checkpoint, VIDEO, '--out', work_dir / 'merged.png')
    (out / 'merged.png').write_bytes((work_dir / 'merged_3.png').read_bytes())
    features = work_dir / 'features.pth'
    if not features.exists():
        run('tools/test.py', CONFIG, checkpoint, '--work-dir', work_dir / 'test',
            '--dump', features)
    draw_worst_query(features, out / 'worst_query.png')
    print(f'Saved to {out}')


if __name__ == '__main__':
    main()
