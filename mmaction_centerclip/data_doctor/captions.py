"""Captions that are empty, too long or repeated, and videos that are."""
import hashlib
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from mmaction_centerclip.datasets import OpenCLIPTokenize
from mmaction_centerclip.parallel import run_each
from mmaction_centerclip.progress import Progress

from .splits import DataSplit

__all__ = ['check_captions', 'find_false_negatives', 'find_leaks']

PART = 500  # captions whose tokens are counted at a time
_TOKENIZERS: dict[str, OpenCLIPTokenize] = {}


def check_captions(split: DataSplit, workers: int) -> dict:
    """Count captions, and list those that are empty or cut to the context.

    Args:
        split (DataSplit): The split.
        workers (int): Processes that count tokens.

    Returns:
        dict: ``captions``, how many there are; ``empty``, the ids of entries
        with empty ones; ``over_long``, captions with more tokens than the
        pipeline's context length; ``context_length``, None if no step
        tokenizes.
    """
    empty = [entry.id for entry in split.entries
             if not entry.captions or any(not text.strip() for text in entry.captions)]
    steps = [step for step in split.dataset.pipeline.transforms
             if isinstance(step, OpenCLIPTokenize)]
    # A caption that stands often is tokenized once.
    texts = {text: sample['filename'] for sample in split.samples
             for text in sample['text']}
    over_long = []
    if steps:
        named = list(texts.items())
        parts = [(steps[0].model, steps[0].context_length, named[i:i + PART])
                 for i in range(0, len(named), PART)]
        print(f'Counting the tokens of the captions of {split.name}')
        bar = Progress(len(parts))
        for _, found in run_each(_find_over_long, parts, workers):
            if isinstance(found, Exception):
                raise found
            over_long += found
            bar.update()
        print()
    return dict(captions=sum(len(entry.captions) for entry in split.entries),
                empty=empty, over_long=sorted(over_long),
                context_length=steps[0].context_length if steps else None)


def _find_over_long(part: tuple) -> list[str]:
    """List the captions of a part that have more tokens than the context."""
    model, context_length, texts = part
    name = repr((model, context_length))
    if name not in _TOKENIZERS:
        _TOKENIZERS[name] = OpenCLIPTokenize(model, context_length)
    return [text for text, filename in texts
            if _TOKENIZERS[name](dict(text=[text], filename=filename))['num_truncated']]


def find_leaks(splits: list[DataSplit]) -> list[dict]:
    """Find videos and captions of the training that stand in an evaluation too.

    Returns:
        list[dict]: For each pair of a split to train on and another one:
        ``splits``, ``same_name`` (files), ``same_content`` (pairs of files of
        other names with the same bytes) and ``same_caption`` (texts).
    """
    contents = _same_bytes(
        {sample['filename'] for split in splits for sample in split.samples})
    leaks = []
    for train in splits:
        for other in splits:
            if not train.name.startswith('train') or other.name.startswith('train'):
                continue
            ours, theirs = (_files_of(split) for split in (train, other))
            copies = [(a, b) for group in contents for a in sorted(group & ours)
                      for b in sorted((group & theirs) - {a})]
            texts, their_texts = (
                {_plain(text) for sample in split.samples for text in sample['text']}
                for split in (train, other))
            leaks.append(dict(
                splits=[train.name, other.name], same_name=sorted(ours & theirs),
                same_content=copies, same_caption=sorted(texts & their_texts)))
    return leaks


def find_false_negatives(split: DataSplit) -> dict:
    """Count samples that a batch of the training takes for each other's negatives.

    Returns:
        dict: ``same_video`` and ``same_caption``, each with ``groups`` of
        samples, the ``samples`` in them, ``pairs_per_batch``, how many pairs
        a shuffled batch of one process holds on average, and ``examples``.
    """
    size, total = split.batch_size, len(split.samples)
    together = min(size, total) * (min(size, total) - 1) / max(total * (total - 1), 1)

    def count(key: Callable[[dict], dict[str, float]]) -> dict:
        """Count the samples that share a value of a key."""
        groups = defaultdict(dict)
        for number, sample in enumerate(split.samples):
            for value, share in key(sample).items():
                groups[value][number] = share
        repeated = {value: group for value, group in groups.items() if len(group) > 1}
        # The sum over all pairs of a group of how often both show its value.
        pairs = sum((sum(group.values())**2 - sum(p * p for p in group.values())) / 2
                    for group in repeated.values())
        return dict(groups=len(repeated), samples=len(set().union(*repeated.values())),
                    # A pair of all pairs of samples is in a batch with the
                    # probability that two of its places fall on them.
                    pairs_per_batch=round(pairs * together, 4),
                    examples=[str(value) for value in list(repeated)[:20]])

    return dict(
        same_video=count(lambda sample: {sample['filename']: 1.0}),
        same_caption=count(_shares_of_captions))


def _shares_of_captions(sample: dict) -> dict[str, float]:
    """Say how often each caption is the one drawn for a sample."""
    texts = [_plain(text) for text in sample['text']]
    return {text: count / len(texts) for text, count in Counter(texts).items()}


def _files_of(split: DataSplit) -> set[str]:
    return {sample['filename'] for sample in split.samples}


def _plain(text: str) -> str:
    return ' '.join(text.casefold().split()).rstrip('.')


def _same_bytes(paths: Iterable[str]) -> list[set[str]]:
    """Group files of the same bytes; only those of one size are read."""
    by_size = defaultdict(list)
    for path in paths:
        if osp.isfile(path) and osp.getsize(path):
            by_size[osp.getsize(path)].append(path)
    groups = defaultdict(set)
    for same in by_size.values():
        for path in same if len(same) > 1 else ():
            with open(path, 'rb') as file:
                groups[hashlib.file_digest(file, 'sha256').digest()
                       if hasattr(hashlib, 'file_digest')
                       else hashlib.sha256(file.read()).digest()].add(path)
    return [group for group in groups.values() if len(group) > 1]
