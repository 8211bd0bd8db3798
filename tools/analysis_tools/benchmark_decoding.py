#!/usr/bin/env python
"""Time the decoding of videos beside plain decord.

The CPU time of 12 frames of each video, as `UniformSample` takes them in
evaluation, on one thread, from opening the file to the RGB arrays: the median
of calls that take turns.
"""
import argparse
import statistics
import time
from pathlib import Path

import decord
import numpy as np
from mmaction.datasets.transforms import UniformSample

from mmaction_centerclip.datasets.transforms import VideoReader
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.tables import format_table


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('videos', nargs='+', type=Path, help='video files')
    parser.add_argument(
        '--repeats', type=int, default=25, help='calls of each reader')
    return parser.parse_args()


def read(reader: type, path: Path) -> np.ndarray:
    """Decode 12 frames with one of the readers."""
    video = reader(str(path), num_threads=1)
    chosen = UniformSample(clip_len=12, test_mode=True)(
        dict(total_frames=len(video), start_index=0))
    return video.get_batch(chosen['frame_inds']).asnumpy()


def main() -> None:
    args = parse_args()
    rows = []
    for path in args.videos:
        images = [read(reader, path)
                  for reader in (decord.VideoReader, VideoReader)]
        times = [], []
        for _ in range(args.repeats):
            for reader, spent in zip((decord.VideoReader, VideoReader), times):
                start = time.process_time()
                read(reader, path)
                spent.append(1e3 * (time.process_time() - start))
        theirs, ours = map(statistics.median, times)
        differ = sum((a != b).any() for a, b in zip(*images))
        rows.append([path.name, f'{theirs:.1f}', f'{ours:.1f}',
                     f'{ours / theirs:.2f}', f'{differ} of {len(images[0])}'])
    print(format_table(
        ['video', 'decord, ms', 'ours, ms', 'ratio', 'frames that differ'], rows))


if __name__ == '__main__':
    main()
