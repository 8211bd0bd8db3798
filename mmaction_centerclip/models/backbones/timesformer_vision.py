"""MMAction2's TimeSformer with necks between its blocks."""
import copy
from collections.abc import Sequence
from functools import partial

import torch
from mmaction.models.backbones import TimeSformer
from mmaction.registry import MODELS
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.models.video_tokens import VideoTokens

from .tower_steps import run_real_frames
from .video_tower import EncodedSegments, Function, VideoTower, use_plain_drop_probs

JOINT = ('norm', 'self_attn', 'norm', 'ffn')
DIVIDED = ('self_attn', 'self_attn', 'ffn')  # Whose parts have norms of their own.


@MODELS.register_module()
class TimeSformerTower(VideoTower, TimeSformer):
    """MMAction2's ``TimeSformer`` (arXiv 2102.05095).

    With ``attention_type='joint_space_time'`` attention joins all frames, and one class
    token is the whole video's: necks do not see it. ``'divided_space_time'`` compares a
    place with the same place of other frames, and takes only necks that keep every
    patch at its place.
    """
    hosts = 'TimeSformer'
    pools_patches = False
    pooling_parts = ('norm', )

    def __init__(self, necks: Sequence[dict] = (), arch: str | dict | None = None,
                 with_cp: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.image_size = self.patch_embed.img_size
        use_plain_drop_probs(self)
        self.attach(necks, with_cp)

    @property
    def joins_frames(self) -> bool:
        return self.attention_type != 'space_only'

    def check_neck(self, neck: TokenNeck) -> None:
        """Refuse necks after which a place is not the same in every frame."""
        if self.attention_type != 'divided_space_time':
            return
        if not neck.keeps_places:
            raise InputError(
                f"{neck}: attention_type='divided_space_time' attends from a patch "
                'to the same place of other frames, which the tokens that this neck '
                "leaves do not have; use 'space_only' or 'joint_space_time', or a "
                'neck that keeps places, such as SegmentMeanPooling')
        if None in map(self.block_halves, self.tower_blocks()):
            raise InputError(f"{neck}: transformer_layers must have the zoo's "
                             f'operation_order {DIVIDED} for necks')

    def frames_to_tokens(self, imgs: Tensor) -> Tensor:
        frames = imgs.shape[1]
        x = self.patch_embed(imgs.transpose(1, 2))
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.drop_after_pos(x + self.pos_embed)
        if self.attention_type == 'space_only':
            return x
        if frames != self.num_frames:
            raise InputError(f'imgs must have {self.num_frames} frames, as '
                             f'num_frames says, got {frames}')
        x = x.unflatten(0, (-1, frames))
        patches = self.drop_after_time(x[:, :, 1:] + self.time_embed[0, :, None])
        return torch.cat([_repeat(x[:, 0, :1], frames), patches], dim=2).flatten(0, 1)

    def tower_blocks(self) -> Sequence[nn.Module]:
        return self.transformer_layers.layers

    def block_halves(self, block: nn.Module) -> tuple[Function, Function] | None:
        order = tuple(block.operation_order)
        if order == JOINT:
            return (lambda x: block.attentions[0](block.norms[0](x), identity=x),
                    lambda x: block.ffns[0](block.norms[1](x), x))
        if order == DIVIDED and self.attention_type == 'divided_space_time':
            patches = self.patch_embed.num_patches

            def attention(x: Tensor) -> Tensor:
                for part in block.attentions:
                    x = _of_frames(part, (x.shape[1] - 1) // patches)(x)
                return x

            return attention, lambda x: block.ffns[0](x)
        return None

    def block_step(self, block: nn.Module) -> Function:
        """Return a block; one of divided attention takes fewer frames too."""
        halves = self.block_halves(block)
        if halves is None or self.attention_type != 'divided_space_time':
            return block
        return lambda x: halves[1](halves[0](x))

    def around(self, function: Function, tokens: VideoTokens) -> Tensor:
        """Run a block on all tokens of a video, and one class token, together."""
        if self.attention_type == 'space_only':
            return function(tokens.x)
        return run_real_frames(partial(_run_video, function), tokens)

    def run_neck(self, neck: TokenNeck, function: Function,
                 tokens: VideoTokens) -> VideoTokens:
        """Keep the class token of a whole video from the necks."""
        if self.attention_type == 'space_only':
            return super().run_neck(neck, function, tokens)
        token = function(tokens.prefix[:, 0])
        tokens = super().run_neck(
            neck, function, tokens.replace(prefix=tokens.prefix[:, :, :0]))
        return tokens.replace(prefix=_repeat(token, tokens.patches.shape[1]))

    def tokens_to_features(self, x: Tensor) -> Tensor:
        return self.norm(x[:, 0])

    def patch_positions(self) -> Tensor:
        return self.pos_embed[0, 1:]

    def encode_segments(self, imgs: Tensor,
                        frame_mask: Tensor | None = None) -> EncodedSegments:
        segments = super().encode_segments(imgs, frame_mask)
        if self.attention_type == 'space_only':
            return segments
        return EncodedSegments.of_video(segments.features[:, 0], segments.mask)

    def forward(self, x: Tensor) -> Tensor:
        """Encode clips (B, 3, T, H, W) to (B, C) as the zoo's class does."""
        tokens = self.run_blocks(x.transpose(1, 2)).by_frame
        if self.attention_type == 'space_only':
            return self.tokens_to_features(tokens.mean(1))
        return self.tokens_to_features(tokens[:, 0])


def _run_video(function: Function, x: Tensor) -> Tensor:
    """Run a block on the tokens (B, T, 1 + N, C) of videos."""
    frames = x.shape[1]
    # As the zoo orders them: a place in all frames, then the next place.
    video = function(torch.cat(
        [x[:, 0, :1], x[:, :, 1:].transpose(1, 2).flatten(1, 2)], dim=1))
    patches = video[:, 1:].unflatten(1, (-1, frames)).transpose(1, 2)
    return torch.cat([_repeat(video[:, :1], frames), patches], dim=2)


def _repeat(token: Tensor, frames: int) -> Tensor:
    """Repeat a video's class token (B, 1, C) for its frames, (B, T, 1, C)."""
    return token[:, None].expand(-1, frames, -1, -1)


def _of_frames(attention: nn.Module, frames: int) -> nn.Module:
    """Return a divided attention, with the same weights, for other frames."""
    if attention.num_frames != frames:
        attention = copy.copy(attention)
        attention.num_frames = frames
    return attention
