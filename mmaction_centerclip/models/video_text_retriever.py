"""The model that joins the towers and a similarity head."""

import torch
from mmaction.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmaction_centerclip.clip.preprocessing import describe_resizing, preprocessing_for
from mmaction_centerclip.clip.weights import load_clip_weights
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, VideoTower

from .lora import add_adapters, watch_adapters, without_adapters
from .towers import FrozenTowers, build_tower, load_tower_weights

CAPTIONS_AT_A_TIME = 512


@MODELS.register_module()
class VideoTextRetriever(FrozenTowers, BaseModel):
    """CLIP4Clip (arXiv 2104.08860), and CenterCLIP (2205.00823) with necks.

    Args:
        arch (str | dict): See :func:`clip_config`.
        backbone (dict): The video tower, without its ``arch``.
        text_backbone (dict): The text tower, without its ``arch``.
        pretrained (str, optional): A tag of open_clip or a local file to start from,
            loaded by ``init_weights()``; None trains from scratch.
        video_pretrained (str, optional): A local file to start the video tower from,
            where it is no CLIP's, see :func:`load_tower_weights`; ``pretrained`` then
            gives the text tower and the head only.
        video_projection (bool): Whether a learned linear layer takes the video tower's
            features to the width of the text tower's.
        frozen_layers (int): Blocks to freeze in both towers, from the first. 0 freezes
            the embeddings in front of them only, -1 nothing.
        frozen_towers (bool): Whether nothing in the towers trains, see
            :class:`FrozenTowers`.
        lora (dict, optional): See :func:`add_adapters`; needs ``peft``, and no
            ``frozen_towers``.
        data_preprocessor (dict, optional): Without ``mean`` and ``std`` it gets those
            of :func:`preprocessing_for`.
    """

    training_options: tuple[str, ...] = ('pretrained', 'video_pretrained')
    """Options that what is trained does not depend on."""

    def __init__(self, arch: str | dict, backbone: dict, text_backbone: dict,
                 head: dict, pretrained: str | None = None,
                 video_pretrained: str | None = None, video_projection: bool = False,
                 frozen_layers: int = -1, frozen_towers: bool = False,
                 lora: dict | None = None, data_preprocessor: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        pictures, self.resizing = {}, None
        if video_pretrained is None:
            pictures = preprocessing_for(backbone.get('arch', arch), pretrained)
            self.resizing = describe_resizing(pictures)
        if isinstance(data_preprocessor, dict):
            if not {'mean', 'std'} & data_preprocessor.keys():
                data_preprocessor = dict(data_preprocessor, **_normalization(pictures))
            # In the zoo's registry, whatever the default scope is.
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor, init_cfg)
        self.arch = arch
        self.pretrained = pretrained
        self.video_pretrained = video_pretrained
        self.backbone = build_tower('backbone', backbone, VideoTower, arch)
        self.text_backbone = build_tower('text_backbone', text_backbone, CLIPTextTower,
                                         arch)
        self.head = MODELS.build(head)
        width = self.text_backbone.embed_dims
        own_width, self.video_projection = self.backbone.embed_dims, None
        if video_projection:
            # Starts like CLIP's own projections, which have no bias either.
            self.video_projection = nn.Linear(own_width, width, bias=False)
            nn.init.normal_(self.video_projection.weight, std=own_width**-0.5)
        elif own_width != width:
            raise InputError(f"backbone: the video tower's features have {own_width} "
                             f"dimensions, the text tower's {width} (arch {arch!r}); "
                             'they must be the same, or video_projection=True')
        if self.head.embed_dims not in (None, width):
            raise InputError(
                f'head: embed_dims must be {width}, the width of the embedding '
                f'of arch {arch!r}, got {self.head.embed_dims}')
        # What lies behind the frozen blocks is trained, as in the zoo's
        # CLIPSimilarity.
        self.backbone.freeze(frozen_layers)
        self.text_backbone.freeze(frozen_layers)
        self.lora, self.adapters_seen = lora, False
        if lora is not None:
            if frozen_towers:
                raise InputError('frozen_towers=True beside lora leaves nothing of it '
                                 'to train; lora freezes the towers itself')
            if frozen_layers > 0:
                raise InputError('frozen_layers must be -1 or 0 beside lora, which '
                                 f'freezes all layers, got {frozen_layers}')
            add_adapters(self, lora)
        self.tower_options = arch, backbone, text_backbone, self.resizing
        if frozen_towers:
            self.freeze_towers()

    def init_weights(self) -> None:
        """Load the pretrained weights, if any."""
        # An initialisation of all linear layers would spoil the adapters'.
        with without_adapters(self):
            super().init_weights()
            if self.pretrained is not None:
                load_clip_weights(self, self.pretrained, self.arch)
                print_log(f'Loaded CLIP weights from {self.pretrained}.', 'current')
            if self.video_pretrained is not None:
                load_tower_weights(self.backbone, self.video_pretrained)

    def forward(self, inputs: dict[str, Tensor], data_samples: list | None = None,
                mode: str = 'tensor') -> dict | list:
        """Run the model in one of three modes.

        Args:
            inputs (dict[str, Tensor]): Normalised ``imgs`` (B, T, 3, H, W); ``text``,
                int64 token ids (B, L), in mode ``'predict'`` of all captions of all
                videos in turn; and maybe ``frame_mask``, bool (B, T).
            data_samples (list, optional): One a video. For ``'loss'`` too they may have
                the captions' ``tokenizer``, the frames' ``resizing``, and ``pair_ids``.
            mode (str): ``'loss'`` returns the loss terms; ``'predict'`` the samples
                with ``video_features`` and ``text_features`` (C, ...), dicts of what
                the head compares; ``'tensor'`` a dict of both, with ``segments`` and
                ``segment_mask``.
        """
        if mode in ('loss', 'predict') and 'imgs' in inputs:
            read = (data_samples or ())[:len(inputs['imgs'])]
            self.text_backbone.check_tokens(
                inputs['text'], {sample.get('tokenizer') for sample in read} or {None})
            self.check_resizing({sample.get('resizing') for sample in read})
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self.extract_feat(inputs)
        raise InputError("mode must be 'loss', 'predict' or 'tensor', got " f'{mode!r}')

    def check_resizing(self, found: set) -> None:
        """Refuse frames that are resized for another model."""
        for resizing in found - {None, self.resizing} if self.resizing else ():
            raise InputError(
                f'the frames are resized by {resizing!r}, but arch {self.arch!r} with '
                f'pretrained={self.pretrained!r} takes {self.resizing!r}; write '
                f"dict(type='OpenCLIPResize', model={self.arch!r}, "
                f'pretrained={self.pretrained!r})')

    def encode_video(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features of the segments (B, S, E) and their mask (B, S)."""
        segments = self.encode_segments(inputs)
        return self.project(segments.features), segments.mask

    def project(self, segments: Tensor) -> Tensor:
        """Take the video tower's features to the width of the text tower's."""
        return segments if self.video_projection is None else self.video_projection(
            segments)

    def video_features(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Encode ``imgs`` (and maybe ``frame_mask``) to what the head compares."""
        return self.head.video_features(*self.encode_video(inputs))

    def text_features(self, text: Tensor) -> dict[str, Tensor]:
        """Encode token ids (C, L) to what the head compares, so many at a time."""
        parts = [self.head.text_features(self.text_backbone(part))
                 for part in text.split(CAPTIONS_AT_A_TIME)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def extract_feat(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features of videos and captions, see :meth:`forward`."""
        segments, mask = self.encode_video(inputs)
        return dict(
            self.head.video_features(segments, mask),
            **self.head.text_features(self.text_backbone(inputs['text'])),
            segments=segments, segment_mask=mask)

    def loss(self, inputs: dict[str, Tensor],
             data_samples: list | None = None) -> dict[str, Tensor]:
        """Loss terms of a batch of pairs."""
        text, video = self.pair_features(inputs, data_samples)
        if not data_samples:
            return self.pair_loss(text, video, None, inputs)
        # Of every process, though it may know none: all gather them.
        ids = [sample.get('pair_ids') or (-1, -1) for sample in data_samples]
        ids = torch.tensor(ids, device=self.head.logit_scale.device)
        return self.pair_loss(text, video, ids, inputs)

    def pair_features(self, inputs: dict[str, Tensor], data_samples: list | None = None
                      ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Encode captions and videos of all processes to what the head compares."""
        if 'segments' in inputs:
            segments, mask, text = self.read_features(inputs, data_samples)
            segments = self.project(segments)
        else:
            with watch_adapters(self):
                segments, mask = self.encode_video(inputs)
                text = self.text_backbone(inputs['text'])
        if len(text.sentence) != len(segments):
            raise InputError(
                'training takes one caption a video, got '
                f'{len(text.sentence)} captions for {len(segments)} videos')
        return self.head.pair_features(segments, mask, text)

    def pair_loss(self, text: dict[str, Tensor], video: dict[str, Tensor],
                  pair_ids: Tensor | None, inputs: dict[str, Tensor]
                  ) -> dict[str, Tensor]:
        """Compute the loss terms of :meth:`pair_features` of the ``inputs``."""
        return self.head.pair_loss(text, video, pair_ids)

    def predict(self, inputs: dict[str, Tensor], data_samples: list) -> list:
        """Store each video's features, and its captions'; unread videos come last."""
        if not inputs:
            return data_samples
        read = data_samples[:len(inputs['imgs'])]
        video = self.video_features(inputs)
        text = self.text_features(inputs['text'])  # any number of a video
        ends = torch.tensor([len(sample.captions) for sample in read]).cumsum(0)
        for i, (sample, end) in enumerate(zip(read, ends.tolist())):
            captions = slice(end - len(sample.captions), end)
            sample.set_field({k: x[i] for k, x in video.items()}, 'video_features')
            sample.set_field({k: x[captions] for k, x in text.items()}, 'text_features')
        return data_samples


def _normalization(pictures: dict) -> dict:
    if not pictures:
        raise InputError('data_preprocessor: mean and std must be given, those that '
                         'the weights of video_pretrained were trained with')
    return dict(mean=pictures['mean'], std=pictures['std'])
