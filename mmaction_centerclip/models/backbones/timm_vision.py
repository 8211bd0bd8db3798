"""timm's vision transformer with necks between its blocks."""
from collections.abc import Sequence

import timm
from mmaction.registry import MODELS
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mmaction_centerclip.clip.refusals import why_unsuited
from mmaction_centerclip.errors import InputError

from .timm_parts import open_timm_attention, timm_block_halves, timm_patch_positions
from .tower_steps import AttentionHooks, Function
from .video_tower import VideoTower

__all__ = ['TimmVisionTower']


@MODELS.register_module()
class TimmVisionTower(VideoTower, VisionTransformer):
    """timm's ``VisionTransformer`` applied to every frame of a video.

    Parameters, state dict keys and, without necks, the output to the last bit are
    timm's.

    Args:
        arch (str | dict, optional): A retriever's, which this tower does not use.
        model_name (str, optional): A model of timm's by name, which must be a plain
            ``VisionTransformer``; what the zoo writes as a backbone's
            ``type='timm.<name>'``. Its ``num_classes`` is 0 unless it is given. None:
            built by the sizes in ``kwargs``.
    """
    pooling_parts = ('norm', 'attn_pool', 'fc_norm', 'head')

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, model_name: str | None = None,
                 **kwargs) -> None:
        if model_name is None:
            super().__init__(**kwargs)
        else:
            nn.Module.__init__(self)
            # timm's own factory knows sizes and weights, but no class of ours.
            vars(self).update(vars(_create(model_name, kwargs)))
        if not self.dynamic_img_size:
            self.image_size = tuple(self.patch_embed.img_size)
        self.embed_dims = self.num_classes or self.head_hidden_size
        self.with_cp = with_cp
        self.attach(necks)

    def init_weights(self, *args, **kwargs) -> None:
        """Start as timm does in its ``__init__``; later calls change nothing.

        MMEngine's would draw new weights over pretrained ones.
        """
        if not hasattr(self, 'necks'):
            super().init_weights(*args, **kwargs)

    @property
    def pools_patches(self) -> bool:
        return self.global_pool != 'token'

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        x = self._pos_embed(self.patch_embed(imgs.flatten(0, 1)))
        return self.norm_pre(self.patch_drop(x))

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.blocks

    def block_halves(self, block: nn.Module) -> tuple[Function, Function] | None:
        return timm_block_halves(block)

    def open_attention(self, block: nn.Module) -> AttentionHooks | None:
        return open_timm_attention(block)

    def tokens_to_features(self, x: Tensor) -> Tensor:
        return self.forward_head(self.norm(x))

    def patch_positions(self) -> Tensor:
        return timm_patch_positions(self)


def _create(name: str, options: dict) -> VisionTransformer:
    """Build a model by timm, and refuse one that is no plain transformer."""
    if not isinstance(name, str) or not timm.is_model(name.removeprefix('timm.')):
        raise InputError("model_name must be a model of timm's, see "
                         f'timm.list_models(), got {name!r}')
    model = timm.create_model(
        name.removeprefix('timm.'), **{'num_classes': 0, **options})
    if type(model) is not VisionTransformer:
        raise InputError(f"model_name={name!r} is timm's {type(model).__name__}, not "
                         f'its VisionTransformer: {why_unsuited(type(model).__name__)}')
    return model
