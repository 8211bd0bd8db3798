"""The splits of a config: their annotations, samples and pipelines."""
import contextlib
import copy
import os
from dataclasses import dataclass, field

from mmaction.datasets import VideoDataset
from mmaction.datasets.base import BaseActionDataset
from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules
from mmengine.config import Config

from mmaction_centerclip.datasets import (
    AnnotationEntry,
    VideoTextRetrievalDataset,
    read_entries,
)
from mmaction_centerclip.errors import InputError, config_errors, named_errors
from mmaction_centerclip.utils.pipelines import find_datasets

__all__ = ['DataSplit', 'build_dataset', 'clip_of', 'read_data_splits']

LOADERS = dict(train='train_dataloader', val='val_dataloader', test='test_dataloader')


@dataclass
class DataSplit:
    """A data set of a config, and what of the config tells how it is read.

    Args:
        name (str): ``'train'``, ``'val'`` or ``'test'``; of a loader with
            several data sets, with a number.
        dataset (BaseActionDataset): Not initialised.
        samples (list[dict]): As the data set goes through them.
        batch_size (int): Of the loader, in one process.
        options (dict): What the config says of the data set.
        entries (list[AnnotationEntry], optional): Of an annotation file with
            captions, with those that have none.
        same_as (list[str]): Other splits that are the same.
    """
    name: str
    dataset: BaseActionDataset
    samples: list[dict]
    batch_size: int
    options: dict
    entries: list[AnnotationEntry] | None = None
    same_as: list[str] = field(default_factory=list)


def read_data_splits(cfg: Config) -> list[DataSplit]:
    """Read the annotations of all data sets of a config.

    Args:
        cfg (Config): Of a retriever or a recogniser, with its pipelines completed.
    """
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
    name, (start, end) = sample['filename'], sample.get('clip') or (None, None)
    if '://' not in name:
        with contextlib.suppress(OSError, ValueError):
            facts = os.stat(name)  # of what a link leads to
            name = f'{facts.st_dev}:{facts.st_ino}'
    return name, start or 0, end
