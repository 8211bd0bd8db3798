"""Build the models that are compared, with random weights."""
import contextlib
import copy
import unittest.mock
from collections.abc import Iterator

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from torch import nn

from mmaction_centerclip.errors import InputError

MMACTION2_CONFIG = ('mmaction::retrieval/clip4clip/clip4clip_vit-base-p32-res224-'
                    'clip-pre_8xb16-u12-5e_msrvtt-9k-rgb.py')


def build_pair(cfg: Config, device: str = 'cpu') -> tuple[nn.Module, nn.Module]:
    """Build a config's model, and the same model without its necks.

    Args:
        cfg (Config): A retriever's config.
        device (str): Where to put both. Defaults to ``'cpu'``.

    Returns:
        tuple[nn.Module, nn.Module]: The model, and the one without necks,
        whose other weights are the same.

    Raises:
        InputError: If the config has no neck.
    """
    if not cfg.model.backbone.get('necks'):
        raise InputError(f'{cfg.filename}: the model has no neck, so there is '
                         'nothing to compare; give a config of CenterCLIP')
    cfg.model.pretrained = None
    model = MODELS.build(cfg.model)
    plain = copy.deepcopy(cfg.model)
    plain.backbone.necks = []
    unclustered = MODELS.build(plain)
    unclustered.load_state_dict(model.state_dict(), strict=False)
    return model.to(device), unclustered.to(device)


@contextlib.contextmanager
def random_openai_clip() -> Iterator[None]:
    """Let MMAction2's ``CLIPSimilarity`` start from random weights.

    It downloads OpenAI's otherwise. Inside, ``clip.load`` makes a ViT-B/32.

    Raises:
        InputError: If ``openai-clip``, which it is made of, is missing.
    """
    try:
        import clip
        from clip.model import CLIP
    except ImportError as error:
        raise InputError("MMAction2's CLIPSimilarity needs the package "
                         f'openai-clip, which cannot be imported: {error}') from None
    # ViT-B/32 by its sizes: embedding, pixels, layers, width and patch of the
    # image tower; context, vocabulary, width, heads and layers of the text's.
    sizes = (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    with unittest.mock.patch.object(
            clip, 'load', lambda *args, **kwargs: (CLIP(*sizes), None)):
        yield


def build_mmaction2(device: str = 'cpu') -> nn.Module:
    """Build MMAction2's own CLIP4Clip as its config ships it.

    Args:
        device (str): Where to put it. Defaults to ``'cpu'``.

    Raises:
        InputError: See :func:`random_openai_clip`.
    """
    with random_openai_clip(), DefaultScope.overwrite_default_scope('mmaction'):
        return MODELS.build(get_config(MMACTION2_CONFIG).model).to(device)
