#!/usr/bin/env python
"""Store the features of frozen towers, to train heads on without any video.

Each video of the training, and each caption, is encoded once; what is there is skipped.
Train then with model.frozen_towers=True train_dataloader.dataset.features=FILE.
"""
import argparse

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.progress import track

CAPTIONS_AT_A_TIME = 256


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='of the model and of its training data')
    parser.add_argument(
        'checkpoint', nargs='?',
        help='of all weights; by default what model.pretrained names')
    parser.add_argument('--cache', required=True, help='file to write')
    cli.add_num_workers(parser, 2, convert=int)
    cli.add_device(parser)
    cli.add_cfg_options(parser)
    cli.add_allow_other(parser)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

import copy

import torch
from mmaction.registry import DATASETS
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmaction_centerclip.apis import init_retriever
from mmaction_centerclip.datasets.caching.feature_cache import FeatureCache, recipe_of
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.engine import launching
from mmaction_centerclip.utils.pipelines import find_datasets


class Videos(Dataset):
    """The videos or clips that a cache lacks, each with all captions of its samples."""

    def __init__(self, config: ConfigDict, cache: FeatureCache) -> None:
        config = copy.deepcopy(config)
        config.features = None
        with config_errors('train_dataloader'):
            self.dataset = DATASETS.build(config)
        infos: dict[tuple, dict] = {}
        for index in range(len(self.dataset)):
            info = self.dataset.get_data_info(index)
            first = infos.setdefault(
                (info['filename'], info.get('clip')), dict(info, text=[]))
            first['text'] += [x for x in info['text'] if x not in first['text']]
        self.infos, self.total = [], len(infos)
        for info in infos.values():
            try:
                is_there = cache.video(info['filename'], info.get('clip'))
            except OSError:  # which the pipeline says better
                is_there = None
            if not is_there or not all(map(cache.text, info['text'])):
                self.infos.append(info)

    def __len__(self) -> int:
        return len(self.infos)

    def __getitem__(self, index: int) -> tuple[dict, dict | str]:
        """Return what a video is, and the sample or why there is none."""
        info = self.infos[index]
        try:
            return info, self.dataset.run_pipeline(copy.deepcopy(info), {})
        except DecodingError as error:
            return info, str(error)


@torch.no_grad()
def encode(model: nn.Module, cache: FeatureCache, info: dict, sample: dict) -> None:
    """Encode a video and its captions, and store them."""
    data = model.data_preprocessor(pseudo_collate([sample]), False)
    inputs, packed = data['inputs'], data['data_samples'][0]
    model.text_backbone.check_tokens(inputs['text'], {packed.get('tokenizer')})
    model.check_resizing({packed.get('resizing')})
    segments, mask, _ = model.encode_segments(inputs)
    texts = iter(info['text'])
    for part in inputs['text'].split(CAPTIONS_AT_A_TIME):
        for features in zip(*model.text_backbone(part)):
            cache.add_text(next(texts), *features)
    # Last: where a kill leaves the captions alone, all is done again.
    cache.add_video(info['filename'], info.get('clip'), segments[0], mask[0])


def main(args: argparse.Namespace) -> None:
    cfg = launching.read_config(args.config, args.cfg_options, args.allow_other)
    cfg.model.frozen_towers = True
    model = init_retriever(cfg, args.checkpoint, args.device)
    datasets = list(find_datasets(model.cfg.get('train_dataloader')))
    if not datasets:
        raise InputError(f'{args.config}: train_dataloader has no data set')
    failed, total = {}, 0
    for config in datasets:
        cache = FeatureCache(args.cache, recipe_of(config.pipeline), writable=True)
        cache.claim(model.towers_digest())
        videos = Videos(config, cache)
        total += videos.total
        for info, sample in track(DataLoader(
                videos, batch_size=None, num_workers=args.num_workers,
                collate_fn=lambda item: item)):
            if isinstance(sample, str):
                failed[info['filename']] = sample
            else:
                encode(model, cache, info, sample)
    print(f'{args.cache} has the features of {total - len(failed)} of {total} '
          'videos.')
    if failed:
        raise InputError(f'{len(failed)} of {total} videos have no features, the first '
                         f'being {next(iter(failed.values()))}')


if __name__ == '__main__':
    with cli.exit_on_input_error():
        main(ARGS)
