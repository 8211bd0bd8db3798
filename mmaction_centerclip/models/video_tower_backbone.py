"""Any video tower as the backbone of the zoo's recognisers."""
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmaction_centerclip.clip.feature_settings import describe_settings
from mmaction_centerclip.clip.weights import read_clip_weights
from mmaction_centerclip.errors import InputError

from .backbones import VideoTower, check_host


@MODELS.register_module()
class VideoTowerBackbone(BaseModule):
    """A video tower in ``Recognizer3D``: the mean of its segments' features.

    For towers of images; ``VideoMAETower`` and the like stand in a recogniser as they
    are. ``tower`` is a config of a :class:`VideoTower`, and ``pretrained`` CLIP's
    weights for its ``arch``, see :func:`read_clip_weights`. The data preprocessor must
    normalise as the tag was trained with, which this project's tools check.
    """

    def __init__(self, tower: dict, pretrained: str | None = None,
                 init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        if 'type' not in tower:
            raise InputError('tower must be the config of a video tower, with its '
                             f'type, got {tower!r}')
        check_host({'necks': (), **tower})
        if pretrained is not None and tower.get('arch') is None:
            raise InputError('pretrained is of CLIP weights for the arch of the tower, '
                             f"and {tower.get('type')} has none, got {pretrained!r}")
        self.pretrained = pretrained
        self.tower: VideoTower = MODELS.build(tower)
        self.embed_dims = self.tower.embed_dims
        self.arch = tower.get('arch')

    def init_weights(self) -> None:
        """Load the ``pretrained`` weights, if any."""
        super().init_weights()
        if self.pretrained is None:
            return
        settings = describe_settings(nn.ModuleDict(dict(backbone=self.tower)))
        state = read_clip_weights(self.pretrained, self.arch, settings)
        own = {key.removeprefix('backbone.'): value for key, value in state.items()
               if key.startswith('backbone.')}
        self.tower.load_pretrained(
            own, f'pretrained={self.pretrained!r} for arch {self.arch!r}')
        print_log(f'Loaded CLIP weights from {self.pretrained}.', 'current')

    def forward(self, x: Tensor) -> Tensor:
        """Average the features of clips (B, 3, T, H, W) over segments, (B, E)."""
        features, _ = self.tower.encode(x.transpose(1, 2))
        return features.mean(dim=1)
