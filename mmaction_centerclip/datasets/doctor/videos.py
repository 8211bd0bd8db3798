"""Read one video as the training would, and say how that went."""
import os
import os.path as osp
import time

from mmaction.datasets.base import BaseActionDataset

from mmaction_centerclip.datasets import VideoTextRetrievalDataset
from mmaction_centerclip.datasets.video.decoding_errors import (
    DecodingError,
    run_transform,
)

from .files import find_decoders, guess_kind, probe_file

__all__ = ['STATES', 'examine_video', 'key_of']

# From the worst on; a video has one of them.
STATES = dict(
    missing='not there', empty='of zero length', unreadable='cannot be read',
    cut_off='ends too early', short='has fewer frames than asked for', ok='in order')
# Data sets whose pipeline has run once in this process.
_WARM: set[int] = set()


def key_of(sample: dict, pipeline: str) -> str:
    """Name a video and how it is read, so that a change of either is seen."""
    try:
        facts = os.stat(sample['filename'])
        version = f'{facts.st_size} {facts.st_mtime_ns}'
    except OSError:
        version = 'missing'
    return f'{sample["filename"]} {sample.get("clip")} {version} {pipeline}'


def examine_video(dataset: BaseActionDataset, sample: dict) -> dict:
    """Take a sample through the pipeline of its data set.

    Args:
        dataset (BaseActionDataset): Of the sample.
        sample (dict): Of a :class:`DataSplit`.

    Returns:
        dict: ``state``, one of ``STATES``, and ``reason``; what
        :func:`probe_file` says; ``seconds`` that the pipeline took; of what
        cannot be read, the ``decoders`` that can; ``frames`` of the video or
        clip, and ``wanted``, those asked for; ``shape`` of what a batch is
        made of.
    """
    path = sample['filename']
    if '://' not in path:
        if not osp.lexists(path):
            return dict(state='missing', reason='no such file')
        if not osp.isfile(path):
            return dict(state='unreadable', reason='not a regular file')
        if osp.getsize(path) == 0:
            return dict(state='empty', reason='the file is empty', size=0)
    facts = {} if '://' in path else probe_file(path)
    info = dict(sample, text=list(sample['text']), sample_idx=0,
                modality=dataset.modality, start_index=dataset.start_index)
    try:
        if id(dataset) not in _WARM:  # A tokenizer is loaded when it is first used.
            _run_pipeline(dataset, dict(info))
            _WARM.add(id(dataset))
        start = time.perf_counter()
        imgs = _run_pipeline(dataset, info)
    except DecodingError as error:
        kind = guess_kind(path) if facts else None
        facts.update(state='unreadable',
                     reason=error.reason + (f'; it is {kind}' if kind else ''),
                     decoders=find_decoders(path) if facts else [])
        return facts
    facts['seconds'] = round(time.perf_counter() - start, 6)
    if hasattr(imgs, 'shape'):
        facts['shape'] = list(imgs.shape)
    for fact, key in (('frames', 'total_frames'), ('wanted', 'clip_len')):
        if key in info:
            facts[fact] = int(info[key])
    if facts.get('cut_off'):
        return dict(facts, state='cut_off', reason=facts['cut_off'])
    if facts.get('frames', 1) < facts.get('wanted', 1):
        return dict(facts, state='short', reason=f'has {facts["frames"]} frames, '
                    f'{facts["wanted"]} are asked for')
    return dict(facts, state='ok', reason='')


def _run_pipeline(dataset: BaseActionDataset, info: dict) -> object:
    """Return the frames that the pipeline packs; it writes to what it is given."""
    name, data = info['filename'], info
    if isinstance(dataset, VideoTextRetrievalDataset):
        data = dataset.run_pipeline(info, dict(filename=name))
    else:
        for transform in dataset.pipeline.transforms:
            data = run_transform(transform, data, name)
    inputs = data['inputs']
    return inputs.get('imgs') if isinstance(inputs, dict) else inputs
