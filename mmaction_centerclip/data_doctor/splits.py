"""The splits of a config: their annotations, samples and pipelines."""
import copy
from dataclasses import dataclass, field

from mmaction.registry import DATASETS
from mmaction.utils import register_all_modules
from mmengine.config import Config

from mmaction_centerclip.datasets import (
    AnnotationEntry,
    VideoTextRetrievalDataset,
    read_entries,
)
from mmaction_centerclip.errors import InputError, named_errors

__all__ = ['DataSplit', 'build_dataset', 'read_data_splits']

LOADERS = dict(train='train_dataloader', val='val_dataloader', test='test_dataloader')


@dataclass
class DataSplit:
    """A data set of a config, and what of the config tells how it is read.

    Args:
        name (str): ``'train'``, ``'val'`` or ``'test'``; of a loader with
            several data sets, with a number.
        dataset (VideoTextRetrievalDataset): Not initialised.
        entries (list[AnnotationEntry]): Of the annotation file, with those
            that have no caption.
        samples (list[dict]): As the data set goes through them.
        batch_size (int): Of the loader, in one process.
        num_workers (int): Of the loader.
        options (dict): What the config says of the data set.
        same_as (list[str]): Other splits that are the same.
    """
    name: str
    dataset: VideoTextRetrievalDataset
    entries: list[AnnotationEntry]
    samples: list[dict]
    batch_size: int
    num_workers: int
    options: dict
    same_as: list[str] = field(default_factory=list)


def read_data_splits(cfg: Config) -> list[DataSplit]:
    """Read the annotations of all data sets of a config.

    Args:
        cfg (Config): With its pipelines completed.

    Raises:
        InputError: If there is no data set, one is of another class than
            ``VideoTextRetrievalDataset``, or an annotation file cannot be
            read.
    """
    register_all_modules()
    splits, known = [], []
    for name, loader_name in LOADERS.items():
        loader = cfg.get(loader_name) or {}
        found = list(_find_datasets(loader.get('dataset') or {}, loader_name))
        for number, options in enumerate(found):
            own_name = f'{name} {number + 1}' if len(found) > 1 else name
            if options in known:
                splits[known.index(options)].same_as.append(own_name)
                continue
            known.append(options)
            options = Config(dict(a=options)).to_dict()['a']
            dataset = build_dataset(options)
            with named_errors(loader_name):
                splits.append(DataSplit(
                    own_name, dataset, read_entries(dataset.ann_file, keep_empty=True),
                    dataset.list_samples(), loader.get('batch_size', 1),
                    loader.get('num_workers', 0), options))
    if not splits:
        raise InputError(f'{cfg.filename} has none of {", ".join(LOADERS.values())}')
    return splits


def build_dataset(options: dict) -> VideoTextRetrievalDataset:
    """Build a data set that has not looked for its files yet."""
    # Copied, since building takes things out.
    return DATASETS.build(dict(copy.deepcopy(options), lazy_init=True))


def _find_datasets(options: dict, loader: str) -> list[dict]:
    """Find the data sets in wrappers such as ``ConcatDataset``."""
    if 'ann_file' in options:
        kind = options.get('type')
        if getattr(kind, '__name__', kind) != VideoTextRetrievalDataset.__name__:
            raise InputError(f'{loader}: the doctor knows VideoTextRetrievalDataset '
                             f'only, got {kind!r}')
        return [options]
    inner = [options.get('dataset'), *(options.get('datasets') or [])]
    return [found for node in inner if isinstance(node, dict)
            for found in _find_datasets(node, loader)]
