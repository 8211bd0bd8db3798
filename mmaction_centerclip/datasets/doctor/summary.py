"""Describe what the doctor found in lines of text."""
from collections.abc import Iterator

from .videos import STATES

__all__ = ['summarize']

MOST_FILES = 20


def summarize(report: dict) -> list[str]:
    """Describe each finding of :func:`diagnose` in a line."""
    lines = []
    for split in report['splits']:
        lines += _summarize_videos(split)
        if split['captions']:
            lines += _summarize_captions(split)
        if split['seconds_per_sample']:
            lines.append(f'  {1e3 * split["seconds_per_sample"]:.1f} ms a sample, the '
                         f'median with {report["workers"]} processes at once')
    for leak in report['leaks']:
        counts = ', '.join(f'{len(leak[key])} {words}' for key, words in (
            ('same_name', 'files'),
            ('same_content', 'pairs of files of the same bytes'),
            ('same_caption', 'captions')) if leak[key])
        lines.append(f'in both {" and ".join(leak["splits"])}: {counts or "nothing"}')
    return lines


def _summarize_videos(split: dict) -> Iterator[str]:
    states = ', '.join(f'{count} {STATES[state]}' for state, count
                       in split['states'].items() if count)
    same = f' (also {", ".join(split["same_as"])})' if split['same_as'] else ''
    yield f'{split["name"]}{same}: {split["videos"]} videos: {states}'
    for video in split['faults'][:MOST_FILES]:
        by = (f'; first frame by: {", ".join(video["decoders"]) or "no decoder"}'
              if 'decoders' in video else '')
        yield f'  {video["file"]}: {STATES[video["state"]]}: {video["reason"]}{by}'
    for video in split['unusual'][:MOST_FILES]:
        yield (f'  {video["file"]}: its codec is {video["codec"]}, which VideoInit '
               'reads and some other decoders do not')
    for names in split['repeated'][:MOST_FILES]:
        yield f'  one video under {len(names)} names: {", ".join(names)}'
    if len(split['shapes']) > 1:
        yield ('  samples of several shapes make no batch; the pipeline needs a step '
               'that resizes: ' + ', '.join(
                   f'{found["videos"]} of {found["shape"]}, such as {found["file"]}'
                   for found in split['shapes'][:5]))
    more = sum(max(0, len(split[name]) - MOST_FILES)
               for name in ('faults', 'unusual', 'repeated'))
    if more:
        yield f'  and {more} more'


def _summarize_captions(split: dict) -> Iterator[str]:
    captions = split['captions']
    yield (f'  captions: {captions["captions"]}, {len(captions["empty"])} entries with '
           f'empty ones, {len(captions["over_long"])} longer than the context')
    for kind, found in split.get('false_negatives', {}).items():
        if found['groups']:
            yield (f'  {kind.replace("_", " ")}: {found["samples"]} samples in '
                   f'{found["groups"]} groups; a shuffled batch of one process has '
                   f'{found["pairs_per_batch"]} such pairs on average, each other\'s '
                   'negatives unless mask_repeats leaves them out')
