"""Fit necks to what a checkpoint knows of its clustering."""
import inspect
from collections.abc import Sequence

from mmaction.registry import MODELS
from torch import Tensor

from mmaction_centerclip.errors import InputError


def find_parameter(kind: str, name: str) -> inspect.Parameter | None:
    """Find a parameter by name, None if a model of this ``type`` does not take it.

    Looks into its ``__init__``, and those of its base classes.
    """
    for cls in MODELS.get(kind).__mro__:
        parameters = inspect.signature(cls.__init__).parameters
        if name in parameters:
            return parameters[name]
    return None


def give_embeddings(necks: Sequence[dict], embeddings: dict[int, Tensor],
                    weights: dict[str, Tensor], source: str) -> list[dict]:
    """Give necks the options and weights of cluster embeddings.

    Args:
        necks (Sequence[dict]): Configs, which are returned with more options.
        embeddings (dict[int, Tensor]): By the block that each precedes (K, C).
        weights (dict[str, Tensor]): A retriever's; the embeddings are added.
        source (str): The file, for messages.

    Raises:
        InputError: If they do not fit, or the number of centers is not known.
    """
    necks = [dict(neck) for neck in necks]
    for block, embedding in embeddings.items():
        has = (f'{source} has a cluster embedding of {len(embedding)} centers in '
               f'front of block {block}')
        found = [i for i, n in enumerate(necks) if n['before_block'] == block]
        if not found:
            raise InputError(f'{has}, so a neck stands there; give '
                             f'--before-block {block} and --num-segments')
        neck = necks[found[0]]
        if neck.setdefault('num_centers', len(embedding)) != len(embedding):
            raise InputError(f'{has}, got --num-centers {neck["num_centers"]}')
        neck['cluster_embed'] = 'zeros'
        weights[f'backbone.necks.{found[0]}.cluster_embed'] = embedding
    for neck in necks:
        centers = find_parameter(neck['type'], 'num_centers')
        if centers and centers.default is centers.empty and (
                'num_centers' not in neck):
            raise InputError('--num-centers is required, the weights do not '
                             f'tell it for block {neck["before_block"]}')
    return necks
