#!/usr/bin/env python
"""Render the shapes data: small real videos with captions, the same each time.

A coloured shape moves over a background with distractors and sensor noise; in some
videos a second shape is there at the start or at the end only, which one frame cannot
tell, nor the direction of motion. The videos are MPEG-4, those of --only-motion Motion
JPEG: what MPEG-4 leaves of the frames before shows where the shape came from.
"""
import argparse
import itertools
import json
from pathlib import Path

import cv2
import numpy as np

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import atomic_write, write_text
from mmaction_centerclip.utils.progress import track

SIZE, FRAMES, FPS = 64, 16, 8
NOISE = 6  # standard deviation of the sensor's noise
VERSION = 1
KINDS = dict(hard=2 * FRAMES, moving=2 * FRAMES, long=120)  # frames of the hard ones
EVENT = 24  # frames of a long video that matter

COLORS = dict(
    red=(220, 40, 40), green=(40, 180, 60), blue=(50, 80, 230),
    yellow=(240, 220, 50), purple=(150, 50, 180), orange=(245, 140, 30),
    white=(245, 245, 245), cyan=(60, 210, 220))
BACKGROUNDS = dict(
    black=(20, 20, 20), gray=(120, 120, 120), brown=(110, 75, 40),
    navy=(20, 30, 80), pink=(230, 170, 180))
SIZES = dict(small=7, large=13)
MOTIONS = dict(left=(-1, 0), right=(1, 0), up=(0, -1), down=(0, 1))
DIAGONALS = dict(northwest=(-.7, -.7), northeast=(.7, -.7), southwest=(-.7, .7),
                 southeast=(.7, .7))
POLYGONS = dict(square=(4, .25, [1.2]), triangle=(3, -.5, [1.2]),
                star=(10, -.5, [1.25, 0.5]))
SHAPES = ('circle', 'square', 'triangle', 'star', 'cross', 'ring')
TIMES = ('start', 'end')
HARD_TIMES = ('start', 'middle', 'end')
SIDES = ('left', 'right')
LABELS = dict(color=tuple(COLORS), shape=SHAPES, motion=(*MOTIONS, *DIAGONALS))

MAIN = ('a {size} {color} {shape} moves {motion} on a {background} background',
        'there is a {size} {color} {shape} going {motion} over {background}',
        'on {background} ground, one {size} {shape} in {color} travels {motion}',
        'video of a {shape} that is {size} and {color}, moving {motion}, '
        '{background} backdrop')
SECOND = (', and a {color2} {shape2} shows at the {time}',
          ' while a {shape2} in {color2} is seen only at the {time}',
          '; at the {time} there is a {color2} {shape2} too')
HARD_SECOND = (', and a {color2} {shape2} shows on the {side} at the {time}',
               '; at the {time} a {color2} {shape2} is on the {side}')


def draw_attributes(rng: np.random.Generator, only_motion: bool,
                    hard: bool = False) -> dict:
    """Draw at random the facts that a video shows and its captions tell."""
    if only_motion:
        return dict(size='large', color=str(rng.choice(list(COLORS))),
                    shape=str(rng.choice(SHAPES[:3])),
                    motion=str(rng.choice(list(MOTIONS))), background='black')
    attributes = dict(size=rng.choice(list(SIZES)), color=rng.choice(list(COLORS)),
                      shape=rng.choice(SHAPES), motion=rng.choice(list(MOTIONS)),
                      background=rng.choice(list(BACKGROUNDS)))
    if hard:
        attributes.update(motion=rng.choice(LABELS['motion']), side=rng.choice(SIDES))
    if hard or rng.random() < 0.5:
        attributes.update(
            color2=rng.choice([c for c in COLORS if c != attributes['color']]),
            shape2=rng.choice(SHAPES),
            time=rng.choice(HARD_TIMES if hard else TIMES))
    return {name: str(value) for name, value in attributes.items()}


def write_captions(attributes: dict, count: int, rng: np.random.Generator) -> list[str]:
    """Describe the same facts in different words."""
    captions = []
    for template in rng.permutation(MAIN)[:count]:
        if 'time' in attributes:
            template += rng.choice(HARD_SECOND if 'side' in attributes else SECOND)
        captions.append(template.format(**attributes))
    return captions


def draw_shape(image: np.ndarray, shape: str, center: np.ndarray,
               radius: float, color: tuple) -> None:
    """Draw one shape, anti-aliased, at a sub-pixel position."""
    shift = 4  # cv2's fixed point positions
    if shape in ('circle', 'ring'):
        thickness = -1 if shape == 'circle' else max(2, round(radius / 3))
        cv2.circle(image, tuple((center * 2**shift).astype(int)),
                   int(radius * 2**shift), color, thickness, cv2.LINE_AA, shift)
        return
    if shape == 'cross':  # the corners of four arms, and the notches between them
        tip, radii = np.arctan(0.4), [1.15, 1.15, 0.55]
        angles = np.concatenate([[a - tip, a + tip, a + np.pi / 4]
                                 for a in np.arange(4) * np.pi / 2])
    else:
        corners, start, radii = POLYGONS[shape]
        angles = np.arange(corners) * 2 * np.pi / corners + start * np.pi
    radii = radius * np.resize(radii, len(angles))
    points = center + (radii * [np.cos(angles), np.sin(angles)]).T
    cv2.fillPoly(image, [(points * 2**shift).astype(np.int32)], color,
                 cv2.LINE_AA, shift)


def render_background(attributes: dict, rng: np.random.Generator,
                      screens: int = 1) -> np.ndarray:
    """Render a shaded background with small grey distractors, screens wide and high."""
    base = np.array(BACKGROUNDS[attributes['background']], dtype=np.float32)
    slope, size = rng.uniform(-15, 15, size=2), screens * SIZE
    y, x = np.mgrid[0:size, 0:size] / SIZE - screens / 2
    image = base + (slope[0] * x + slope[1] * y)[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(2, 6) * screens**2):
        gray = int(rng.integers(60, 180))
        position = tuple(int(v) for v in rng.integers(0, size, size=2))
        cv2.circle(image, position, 2, (gray, ) * 3, -1, cv2.LINE_AA)
    return image


def pan(canvas: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut a frame's pictures from a canvas of two screens, along a straight path."""
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.75) * SIZE
    path = length * np.array([np.cos(angle), np.sin(angle)])
    start = rng.uniform(np.maximum(-path, 0), SIZE - np.maximum(path, 0))
    places = ((start + path * t / (count - 1)).astype(int) for t in range(count))
    return [canvas[y:y + SIZE, x:x + SIZE] for x, y in places]


def render_video(attributes: dict, rng: np.random.Generator, only_motion: bool = False,
                 kind: str = 'hard') -> np.ndarray:
    """Render the frames, uint8 (T, H, W, 3), RGB; ``kind`` is for the hard ones."""
    moving, long = kind == 'moving', kind == 'long'
    background = render_background(attributes, rng, 1 + moving)
    direction = np.array({**MOTIONS, **DIAGONALS}[attributes['motion']])
    radius = SIZES[attributes['size']] * rng.uniform(0.9, 1.1)
    # As long on either side of its middle: places alone do not tell the direction.
    middle = SIZE / 2 + rng.uniform(-8, 8, size=2) * (direction == 0)
    second_place = rng.uniform(14, SIZE - 14, size=2)
    hard = 'side' in attributes
    times = HARD_TIMES if hard else TIMES
    if hard:
        second_place[0] = (second_place[0] + SIZE * (attributes['side'] == 'right')) / 2
    # From 17 frames UniformSample takes 2, 6, 10 and 14, as many before the middle as
    # behind it; those from 16 would lie to the side that the shape comes from.
    count, path = (17, 0.9) if only_motion else (KINDS[kind] if hard else FRAMES, 0.6)
    length = EVENT if long else count
    begin = int(rng.integers(count - length + 1)) if long else 0
    backgrounds = pan(background, count, rng) if moving else [background] * count
    stop = rng.uniform(0.4, 0.8) if moving else 1
    crossing = SIZE * rng.choice([-1, 1]) if moving else 0
    frames = []
    for picture, t in zip(backgrounds, range(-begin, count - begin)):
        image = picture.copy()
        if 0 <= t < length:
            part = len(times) * t / length
            if attributes.get('time') == times[int(part)]:
                place = second_place + (0, crossing * (part % 1 - 0.5))
                draw_shape(image, attributes['shape2'], place, 9,
                           COLORS[attributes['color2']])
            passed = min(t / (length - 1) / stop, 1) - 0.5
            center = middle + direction * passed * SIZE * path
            draw_shape(image, attributes['shape'], center, radius,
                       COLORS[attributes['color']])
        noise = rng.normal(0, NOISE, size=image.shape)
        frames.append(np.clip(image + noise, 0, 255).astype(np.uint8))
    return np.stack(frames)


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode as the suffix says, complete or not at all."""
    # FFmpeg's Motion JPEG would choose a frame's quality by the frames before.
    backend, codec = {'.mp4': (cv2.CAP_ANY, 'mp4v'),
                      '.avi': (cv2.CAP_OPENCV_MJPEG, 'MJPG')}[path.suffix]
    with atomic_write(path, path.suffix) as partial:
        writer = cv2.VideoWriter(partial, backend, cv2.VideoWriter_fourcc(*codec), FPS,
                                 (SIZE, SIZE))
        if not writer.isOpened():
            raise InputError(f'OpenCV cannot write {codec} video to {path}')
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()  # which says nothing of a full disk
        reader = cv2.VideoCapture(partial)
        count = sum(1 for _ in iter(lambda: reader.read()[0], False))
        if count != len(frames):
            raise InputError(f'{path} cannot be written: {count} of its {len(frames)} '
                             'frames are there; the disk may be full')


def plan_videos(split: str, count: int, seed: int, only_motion: bool,
                hard: bool = False) -> list[tuple]:
    """Return name, attributes, captions and generator of each video."""
    videos, seen = [], set()
    suffix = '.avi' if only_motion else '.mp4'
    for number in itertools.count():
        if len(videos) == count:
            return videos
        rng = np.random.default_rng([seed, split == 'test', number])
        attributes = draw_attributes(rng, only_motion, hard)
        key = tuple(sorted(attributes.items()))
        if split == 'test' and key in seen:
            continue  # every test video can be told by its captions
        seen.add(key)
        index = len(videos)
        wordings = 3 if split == 'train' else (
            int(rng.integers(3, 5)) if index % 3 == 0 else 1)
        captions = write_captions(attributes, wordings, rng)
        videos.append((f'{split}{index:04d}{suffix}', attributes, captions, rng))


def write_labels(out: Path, splits: dict[str, list[tuple]]) -> None:
    """Write lists of videos and classes for MMAction2's ``VideoDataset``."""
    for split, name in itertools.product(splits, LABELS):
        lines = (f'{file} {LABELS[name].index(attributes[name])}\n'
                 for file, attributes, *_ in splits[split])
        write_text(''.join(lines), str(out / f'{split}_{name}.txt'))


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0], registers=False)
    parser.add_argument('--out', help='folder of the data, default: data/shapes, '
                        'data/shapes_motion with --only-motion and so on')
    parser.add_argument('--num-train', type=cli.positive_int,
                        help='videos to train on, default: 720, or 1440 with --hard '
                        'and --moving')
    parser.add_argument(
        '--num-test', type=cli.positive_int,
        help='videos to test on, default: 216; 96, all there are, with '
        '--only-motion; 600 of the hard ones, with 1,100 captions')
    parser.add_argument('--seed', type=int, default=0, help='random seed')
    kinds = parser.add_mutually_exclusive_group()
    for option, text in (
            ('hard', 'twice as long, each with a second shape for a third of the time; '
             'the first may move diagonally'),
            ('moving', 'likewise, with a camera that pans, a first shape that stops '
             'and a second one that moves up or down'),
            ('long', 'likewise, in a fifth of a video of 120 frames'),
            ('only-motion', 'videos that differ in color, shape and direction alone, '
             'so that many of a batch differ in the direction alone')):
        kinds.add_argument(f'--{option}', dest='kind', action='store_const',
                           const=option.removeprefix('only-'), help=text)
    args = parser.parse_args()
    distinct = len(COLORS) * 3 * len(MOTIONS)
    counts = dict(hard=(1440, 600), moving=(1440, 600), long=(720, 600),
                  motion=(720, distinct)).get(args.kind, (720, 216))
    args.num_train = args.num_train or counts[0]
    args.num_test = args.num_test or counts[1]
    args.out = args.out or '_'.join(filter(None, ('data/shapes', args.kind)))
    if args.kind == 'motion' and args.num_test > distinct:
        parser.error(f'--only-motion has {distinct} distinct videos to test '
                     f'on, got --num-test {args.num_test}')
    return args


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    settings = dict(version=VERSION, num_train=args.num_train,
                    num_test=args.num_test, seed=args.seed)
    only_motion, hard = args.kind == 'motion', args.kind in KINDS
    if only_motion:
        settings.update(only_motion=True, motion_version=2)
    if hard:
        settings.update({args.kind: True, f'{args.kind}_version': 1})
    splits = {split: plan_videos(split, vars(args)[f'num_{split}'], args.seed,
                                 only_motion, hard) for split in ('train', 'test')}
    manifest, videos = out / 'manifest.json', out / 'videos'
    if manifest.is_file():
        try:
            found = json.loads(manifest.read_text())
        except ValueError:
            found = 'a damaged manifest.json'
        if found == settings:
            write_labels(out, splits)  # Of which earlier versions have none.
            print(f'{out} is complete, nothing to do.')
            return
        raise InputError(f'{out} holds other data ({found}); expected {settings}. '
                         'Choose another --out, or remove the folder.')
    videos.mkdir(parents=True, exist_ok=True)
    for name, attributes, _, rng in track(
        [video for split in splits.values() for video in split]):
        write_video(videos / name, render_video(
            attributes, rng, only_motion, args.kind))
    for split, planned in splits.items():
        captions = {name: texts for name, _, texts, _ in planned}
        write_text(json.dumps(captions, indent=1), str(out / f'{split}.json'))
    write_labels(out, splits)
    write_text(json.dumps(settings), str(manifest))
    print(f'\nRendered {args.num_train} + {args.num_test} videos to {out}.')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main()
