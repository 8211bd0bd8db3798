"""The heads, and how tests build and call them."""
import inspect

import torch
from mmaction.registry import MODELS

from mmaction_centerclip.models import TextFeatures
from mmaction_centerclip.models.heads import SimilarityHead

HEADS = sorted(
    name for name, cls in MODELS.module_dict.items()
    if inspect.isclass(cls) and issubclass(cls, SimilarityHead)
    and cls.__module__.startswith('mmaction_centerclip.'))
TRANSFORMERS = ['SequentialTransformerHead', 'TightTransformerHead']
SEPARABLE = ['MeanPoolingHead', 'SequentialLSTMHead', 'SequentialTransformerHead']
PAIRWISE = [name for name in HEADS if name not in SEPARABLE]
DIMS = 16


def head_config(name, **options):
    """The least that a small head needs, and ``options``."""
    accepted = inspect.signature(MODELS.get(name)).parameters
    own = dict(embed_dims=DIMS) if 'embed_dims' in accepted else {}
    if name in TRANSFORMERS:
        own.update(num_layers=2, num_heads=2)
    return {'type': name, **own, **options}


def build(name, **options):
    """A small head in evaluation mode, all of whose weights count."""
    head = MODELS.build(head_config(name, **options)).eval()
    with torch.no_grad():
        # What starts as zero, one or the identity should not hide mistakes.
        for parameter in head.parameters():
            if parameter.ndim > 0:
                parameter += 0.1 * torch.randn_like(parameter)
    return head


def make_videos():
    """Seven videos; padding in front, between, at the end, and only."""
    mask = torch.ones(7, 5, dtype=torch.bool)
    mask[1, 2:] = False
    mask[2, :2] = False
    mask[3, 1::2] = False
    mask[4] = False
    return torch.randn(7, 5, DIMS), mask


def make_texts():
    """Four captions of 6, 3, 1 and 4 tokens."""
    words = torch.randn(4, 6, DIMS)
    lengths = torch.tensor([6, 3, 1, 4])
    sentence = words[torch.arange(4), lengths - 1]
    return TextFeatures(sentence, words,
                        torch.arange(6) < lengths[:, None])


@torch.no_grad()
def similarity(head, texts, videos):
    return head.similarity(
        head.text_features(texts), head.video_features(*videos))


def total_loss(head, texts, videos):
    losses = head.loss(*videos, texts)
    return losses['loss_t2v'] + losses['loss_v2t']
