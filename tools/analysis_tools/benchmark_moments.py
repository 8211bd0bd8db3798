#!/usr/bin/env python
"""Find moments in long films: an index of segments beside one vector a film.

Films are joined from short videos, in an order and in lengths drawn at random,
and encoded anew as H.264, so that all cuts are known. Each caption is a query.
The first hit is right where it overlaps a shot with this caption, by an
intersection over union of at least 0.5: any such shot of any film, since one
caption may be true of several.

One vector a film, the mean of its segments', ranks films and knows no moment.
It gets the fixed moment that is right most often, found by trying them all.
"""
import argparse
import json
import time
from pathlib import Path

import av
import numpy as np

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.cli import exit_on_input_error, positive_int, torch_device
from mmaction_centerclip.datasets import read_annotations
from mmaction_centerclip.datasets.transforms import VideoReader
from mmaction_centerclip.files import check_absent, write_text
from mmaction_centerclip.homes import ToolParser
from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.tables import format_table

OVERLAP = 0.5


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a retriever')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('data', type=Path,
                        help='a folder with videos/ and test.json, their captions')
    parser.add_argument('--out', type=Path, required=True,
                        help='a folder for films, index and figures; films that are '
                        'there are used again')
    parser.add_argument('--films', type=positive_int, default=100)
    parser.add_argument('--seconds', type=positive_int, default=60,
                        help='least length of a film')
    parser.add_argument('--window', type=float, default=2.,
                        help='longest window, in seconds')
    parser.add_argument('--split', choices=['length', 'cuts'], default='cuts')
    parser.add_argument('--device', type=torch_device, default='cpu')
    return parser.parse_args()


def make_films(args: argparse.Namespace, names: list[str]) -> dict[str, list]:
    """Join videos to films: of each film the shots, (start, end, video)."""
    known = args.out / 'films.json'
    if known.exists():
        return json.loads(known.read_text())
    folder = args.out / 'films'
    folder.mkdir(parents=True, exist_ok=True)
    rng, films = np.random.default_rng(0), {}
    for number in range(args.films):
        path = folder / f'{number:03}.mp4'
        films[path.name] = write_film(path, args, names, rng)
    write_text(json.dumps(films, indent=1), str(known))
    return films


def write_film(path: Path, args: argparse.Namespace, names: list[str],
               rng: np.random.Generator) -> list[tuple[float, float, str]]:
    """Write one film, of shots that are at least three quarters of a video."""
    shots, place, stream, rate = [], 0, None, 1
    with av.open(str(path), 'w') as film:
        while place < args.seconds * rate:
            name = names[rng.integers(len(names))]
            video = VideoReader(str(args.data / 'videos' / name))
            length = int(rng.integers(len(video) * 3 // 4, len(video) + 1))
            for image in video.get_batch(range(length)).asnumpy():
                if stream is None:
                    rate = round(video.get_avg_fps())
                    stream = film.add_stream('libx264', rate=rate)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = 'yuv420p'
                film.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            shots.append((place / rate, (place + length) / rate, name))
            place += length
        film.mux(stream.encode(None))
    return shots


def overlap(start: float, end: float, shot: list) -> float:
    """Return the intersection over union of a moment and a shot."""
    both = min(end, shot[1]) - max(start, shot[0])
    return max(0., both) / (max(end, shot[1]) - min(start, shot[0]))


def is_right(film: list, start: float, end: float, videos: set[str]) -> bool:
    return any(shot[2] in videos and overlap(start, end, shot) >= OVERLAP
               for shot in film)


def search_segments(index: VideoIndex, films: dict, queries: dict) -> dict:
    """Return shares of queries whose first hit is right, and its film."""
    moment = film = matches = 0
    for query, videos in queries.items():
        hit, = index.search(query, topk=1).hits
        shots = films[hit.name]
        moment += is_right(shots, hit.start, hit.end, videos)
        film += any(shot[2] in videos for shot in shots)
        matches += hit.matches
    return {name: value / len(queries) for name, value in dict(
        moment=moment, film=film, matches=matches).items()}


def search_films(index: VideoIndex, films: dict, queries: dict) -> dict:
    """Return the same of one vector a film, with the best fixed moment."""
    paths, file_of, segments = index.store.load()
    vectors = np.stack([segments.vectors[file_of == i].astype(np.float32).mean(axis=0)
                        for i in range(len(paths))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = index.inferencer.encode_texts(list(queries)).features['text'].numpy()
    chosen = [films[Path(paths[i]).name] for i in (texts @ vectors.T).argmax(axis=1)]
    lengths = [end - start for film in films.values() for start, end, _ in film]
    length = float(np.median(lengths))
    last = min(film[-1][1] for film in films.values())
    best = max(np.mean([is_right(film, start, start + length, videos)
                        for film, videos in zip(chosen, queries.values())])
               for start in np.arange(0, last - length, length / 4))
    film = np.mean([any(shot[2] in videos for shot in film)
                    for film, videos in zip(chosen, queries.values())])
    return dict(moment=float(best), film=float(film))


def measure(args: argparse.Namespace) -> None:
    """Print a table, and write it as JSON."""
    result_path = args.out / f'moments_{args.split}_{args.window:g}.json'
    check_absent(str(result_path))
    captions, queries = read_annotations(str(args.data / 'test.json')), {}
    for name, texts in captions.items():
        for text in texts:
            queries.setdefault(text, set()).add(name)
    films = make_films(args, sorted(captions))
    there = {shot[2] for film in films.values() for shot in film}
    queries = {text: videos for text, videos in queries.items() if videos & there}
    model = VideoTextRetrievalInferencer(args.config, args.checkpoint, args.device,
                                         show_progress=False)
    index = VideoIndex(args.out / f'{args.split}_{args.window:g}.index', model,
                       window=args.window, split=args.split)
    began = time.perf_counter()
    index.add(args.out / 'films')
    seconds = time.perf_counter() - began
    found = dict(segments=search_segments(index, films, queries),
                 film_vectors=search_films(index, films, queries))
    shots = sum(map(len, films.values()))
    print(f'{len(films)} films of {shots} shots, {len(queries)} captions; windows of '
          f'up to {args.window:g} s, by {args.split}; indexed in {seconds:.0f} s')
    print(format_table(('index of', 'moment R@1', 'film R@1'), [
        (name, f'{100 * row["moment"]:.1f}', f'{100 * row["film"]:.1f}')
        for name, row in found.items()]))
    print(f'{100 * found["segments"]["matches"]:.1f}% of the first hits are marked as '
          'more than chance')
    write_text(json.dumps(dict(found, films=len(films), shots=shots,
                               captions=len(queries), seconds=seconds), indent=1),
               str(result_path))


def main() -> None:
    args = parse_args()
    with exit_on_input_error():
        measure(args)


if __name__ == '__main__':
    main()
