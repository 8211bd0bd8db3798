"""Map CLIP4Clip's keys, and infer its head."""
import re

from torch import Tensor

# CLIP4Clip's heads, and how the beginnings of their keys are called here.
_HEADS = {
    'SequentialTransformerHead': {
        'transformerClip.': 'transformer.',
        'frame_position_embeddings.weight': 'position_embedding',
    },
    'SequentialLSTMHead': {'lstm_visual.': 'lstm.'},
    'TightTransformerHead': {
        'cross.transformer.': 'transformer.',
        'cross.embeddings.position_embeddings.weight': 'position_embedding',
        'cross.pooler.ln_pool.': 'ln_pool.',
        'cross.pooler.dense.': 'dense.',
        'similarity_dense.': 'similarity_dense.',
    },
}


def _find_head(state: dict[str, Tensor]) -> tuple[str, dict[str, str]]:
    """Find the head's type, and how it renames beginnings of keys."""
    for kind, names in _HEADS.items():
        if any(key.startswith(next(iter(names))) for key in state):
            return kind, names
    return 'MeanPoolingHead', {}


def rename_clip4clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the towers' stored weights as OpenAI does, the head's as a retriever."""
    _, names = _find_head(state)
    renamed = {}
    for key, value in state.items():
        old = next((old for old in names if key.startswith(old)), None)
        if old is not None:
            key = f'head.{names[old]}{key[len(old):]}'
        renamed[key.removeprefix('clip.')] = value
    return renamed


def infer_head(state: dict[str, Tensor], layer_norm_eps: float = 1e-12) -> dict:
    """Infer the config of the head that weights belong to.

    Args:
        state (dict[str, Tensor]): As stored.
        layer_norm_eps (float): Epsilon of the head's layer norms, which the
            weights do not tell. Defaults to 1e-12, CLIP4Clip's.
    """
    kind, names = _find_head(state)
    if not names:
        return dict(type=kind)
    config = dict(type=kind, embed_dims=state['clip.text_projection'].shape[1])
    for old, new in names.items():
        if new == 'position_embedding':
            tight = kind == 'TightTransformerHead'
            config['max_positions' if tight else 'max_segments'] = len(state[old])
        elif new == 'transformer.':
            blocks = {re.search(r'resblocks\.(\d+)', key)[1]
                      for key in state if key.startswith(old)}
            config.update(num_layers=len(blocks), layer_norm_eps=layer_norm_eps)
    return config
