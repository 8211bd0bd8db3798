"""Read the splits of a config, and check their captions and what they share."""
import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from os import path as osp

from mmaction.datasets import VideoDataset
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules
from mmengine.config import Config

from mmaction_centerclip.datasets import (
    AnnotationEntry,
    OpenCLIPTokenize,
    VideoTextRetrievalDataset,
    read_entries,
)
from mmaction_centerclip.errors import InputError, config_errors, named_errors
from mmaction_centerclip.utils.files import hash_file, same_video
from mmaction_centerclip.utils.pipelines import find_datasets

LOADERS = dict(train='train_dataloader', val='val_dataloader', test='test_dataloader')
MOST_EXAMPLES = 20


@dataclass
class DataSplit:
    """A data set of a config, and what of the config tells how it is read."""
    name: str  # train, val or test; with a number where a loader has several data sets
    dataset: BaseActionDataset  # not initialised
    samples: list[dict]  # as the data set goes through them
    batch_size: int  # in one process
    options: dict  # what the config says of the data set
    entries: list[AnnotationEntry] | None = None  # also those without captions
    same_as: list[str] = field(default_factory=list)  # other splits


def read_data_splits(cfg: Config) -> list[DataSplit]:
    """Read the annotations of all data sets of a retriever or a recogniser."""
    register_all_modules()
    splits, known = [], []
    for name, loader_name in LOADERS.items():
        loader = cfg.get(loader_name) or {}
        found = list(find_datasets(loader))
        for number, options in enumerate(found):
            own_name = f'{name} {number + 1}' if len(found) > 1 else name
            if options in known:
                splits[known.index(options)].same_as.append(own_name)
                continue
            known.append(options)
            options = Config(dict(a=options)).to_dict()['a']
            with named_errors(loader_name):
                splits.append(_read_split(own_name, options,
                                          loader.get('batch_size', 1)))
    if not splits:
        raise InputError(f'{cfg.filename} has none of {", ".join(LOADERS.values())}')
    return splits


def _read_split(name: str, options: dict, batch_size: int) -> DataSplit:
    kind = options.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not issubclass(cls or object, (VideoTextRetrievalDataset, VideoDataset)):
        raise InputError('the doctor knows VideoTextRetrievalDataset and VideoDataset, '
                         f'got {kind!r}')
    dataset = build_dataset(options)
    if isinstance(dataset, VideoTextRetrievalDataset):
        return DataSplit(name, dataset, dataset.list_samples(), batch_size, options,
                         read_entries(dataset.ann_file, keep_empty=True))
    try:
        samples = dataset.load_data_list()
    except (OSError, ValueError) as error:
        raise InputError(f'{dataset.ann_file}: expected a line "video label" a video '
                         f'({error})') from error
    return DataSplit(name, dataset, [dict(sample, text=[]) for sample in samples],
                     batch_size, options)


def build_dataset(options: dict) -> BaseActionDataset:
    """Build a data set that has not looked for its files yet."""
    # Copied, since building takes things out.
    with config_errors('dataset'):
        return DATASETS.build(dict(copy.deepcopy(options), lazy_init=True))


def clip_of(sample: dict) -> tuple:
    """Return what all ways to write a sample's file have in common, and its times."""
    start, end = sample.get('clip') or (None, None)
    return same_video(sample['filename']), start or 0, end


def check_captions(split: DataSplit) -> dict | None:
    """Count captions, and list those that are empty or cut to the context.

    None of a split without captions, as is ``context_length`` where nothing tokenizes.
    """
    if split.entries is None:
        return None
    empty = [entry.id for entry in split.entries
             if not entry.captions or any(not text.strip() for text in entry.captions)]
    step = next((step for step in split.dataset.pipeline.transforms
                 if isinstance(step, OpenCLIPTokenize)), None)
    # A caption that stands often is tokenized once.
    texts = {text: sample['filename'] for sample in split.samples
             for text in sample['text']}
    over_long = sorted(
        text for text, name in texts.items()
        if step and step(dict(text=[text], filename=name))['num_truncated'])
    return dict(captions=sum(len(entry.captions) for entry in split.entries),
                empty=empty, over_long=over_long,
                context_length=step.context_length if step else None)


def find_repeated(split: DataSplit) -> list[list[str]]:
    """Find videos and clips that stand in a split under several names."""
    names = defaultdict(set)
    for sample in split.samples:
        names[clip_of(sample)].add(sample['filename'])
    return [sorted(same) for same in names.values() if len(same) > 1]


def find_leaks(splits: list[DataSplit]) -> list[dict]:
    """Find videos and captions of the training that stand in an evaluation too.

    Of each pair of ``splits``: ``same_name`` (files, also through links),
    ``same_content`` (pairs of other files with the same bytes) and ``same_caption``.
    """
    contents = _same_bytes(
        {file: name for split in splits for file, name in _files_of(split).items()})
    leaks = []
    for train in splits:
        for other in splits:
            if not train.name.startswith('train') or other.name.startswith('train'):
                continue
            ours, theirs = _files_of(train), _files_of(other)
            copies = [(ours[a], theirs[b]) for group in contents
                      for a in sorted(group & ours.keys())
                      for b in sorted((group & theirs.keys()) - {a})]
            texts, their_texts = (
                {_plain(text) for sample in split.samples for text in sample['text']}
                for split in (train, other))
            leaks.append(dict(
                splits=[train.name, other.name],
                same_name=sorted(ours[name] for name in ours.keys() & theirs.keys()),
                same_content=copies, same_caption=sorted(texts & their_texts)))
    return leaks


def _files_of(split: DataSplit) -> dict[str, str]:
    """Return the names of videos, as they are written, by their files."""
    return {clip_of(sample)[0]: sample['filename'] for sample in split.samples}


def _same_bytes(names: dict[str, str]) -> list[set[str]]:
    """Group files of the same bytes; only those of one size are read."""
    by_size, groups = defaultdict(list), defaultdict(set)
    for name, path in names.items():
        if osp.isfile(path) and osp.getsize(path):
            by_size[osp.getsize(path)].append((name, path))
    for same in by_size.values():
        for name, path in same if len(same) > 1 else ():
            groups[hash_file(path)].add(name)
    return [group for group in groups.values() if len(group) > 1]


def find_false_negatives(split: DataSplit) -> dict:
    """Count samples that a batch of the training takes for each other's negatives.

    Of ``same_video`` and ``same_caption``: ``groups`` of samples, the ``samples`` in
    them, ``pairs_per_batch``, the mean of a shuffled batch of one process,
    ``examples``.
    """
    size, total = split.batch_size, len(split.samples)
    together = min(size, total) * (min(size, total) - 1) / max(total * (total - 1), 1)

    def count(key: Callable[[dict], dict[str, float]],
              show: Callable[[dict, str], str]) -> dict:
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
                    examples=[show(split.samples[next(iter(group))], value)
                              for value, group in list(
                                  repeated.items())[:MOST_EXAMPLES]])

    return dict(same_video=count(lambda sample: {clip_of(sample)[0]: 1.0},
                                 lambda sample, _: sample['filename']),
                same_caption=count(_shares_of_captions, lambda _, text: text))


def _shares_of_captions(sample: dict) -> dict[str, float]:
    """Return how often each caption is the one drawn for a sample."""
    texts = [_plain(text) for text in sample['text']]
    return {text: count / len(texts) for text, count in Counter(texts).items()}


def _plain(text: str) -> str:
    return ' '.join(text.casefold().split()).rstrip('.')
