"""A retriever that learns from a teacher as well."""
from functools import cached_property

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmaction_centerclip.clip.feature_settings import check_settings, describe_settings
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.option_types import NotNegative, Positive
from mmaction_centerclip.utils.tensor_files import read_checkpoint
from mmaction_centerclip.utils.weights import load_strictly

from .video_text_retriever import VideoTextRetriever


@MODELS.register_module()
class DistilledRetriever(VideoTextRetriever):
    """A retriever that follows another one, which sees the same pairs.

    To the loss of the pairs come ``loss_similarity``, half of the divergence
    KL(teacher || student) of the batch's similarities behind a softmax, over the videos
    of a caption and over the captions of a video, times the squared temperature (Hinton
    et al., arXiv 1503.02531; a pairwise head as the teacher of one vector a video:
    TeachCLIP, arXiv 2308.01217); and ``loss_feature``, 1 minus the cosine of the two
    models' features, averaged over videos and captions.

    The teacher may have another arch, another tower and head, and no necks; it reads
    the same token ids and frames. It is no part of the state dict: a checkpoint is that
    of a :class:`VideoTextRetriever`, which a test, an index or a converter reads, and
    nothing but training reads the teacher's file.

    Args:
        teacher (dict): A retriever's ``model`` config.
        teacher_checkpoint (str): Its checkpoint, a local file.
        similarity_weight (float): Weight of ``loss_similarity``.
        feature_weight (float): Weight of ``loss_feature``; above 0 both models compare
            vectors of one width, as :class:`MeanPoolingHead` does.
        temperature (float): What logits, by each model's own scale, are divided by.

    Examples:
        >>> model = dict(  # whose base has the other options, as in docs/usage.md
        ...     type='DistilledRetriever',
        ...     teacher=dict(type='VideoTextRetriever'),  # and all of the teacher's
        ...     teacher_checkpoint='work_dirs/teacher/epoch_5.pth',
        ...     backbone=dict(necks=[dict(type='TokenClustering', before_block=7,
        ...                               num_segments=3, num_centers=49)]))
    """

    training_options = (*VideoTextRetriever.training_options, 'teacher',
                        'teacher_checkpoint', 'similarity_weight', 'feature_weight',
                        'temperature')

    def __init__(self, *args, teacher: dict, teacher_checkpoint: str,
                 similarity_weight: NotNegative = 1.0,
                 feature_weight: NotNegative = 0.0, temperature: Positive = 1.0,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(teacher, dict) or 'text_backbone' not in teacher:
            raise InputError('teacher must be the model config of a retriever, got '
                             f'{teacher!r}')
        self.teacher_config = teacher
        self.teacher_checkpoint = teacher_checkpoint
        self.similarity_weight = similarity_weight
        self.feature_weight = feature_weight
        self.temperature = temperature

    def init_weights(self) -> None:
        super().init_weights()
        _ = self._teacher  # An error in its file comes before the first batch.

    @cached_property
    def _teacher(self) -> tuple[nn.Module]:
        """The teacher, in a tuple, so that it is no submodule."""
        teacher = MODELS.build(self.teacher_config)
        source = f'teacher_checkpoint={self.teacher_checkpoint!r}'
        state, file, _ = read_checkpoint(self.teacher_checkpoint)
        check_settings(file, describe_settings(teacher), source)
        load_strictly(teacher, state, source)
        own, other = map(_inputs_of, (self, teacher))
        if own != other:
            raise InputError("teacher: it must read the student's pictures and token "
                             f'ids, {own}, got {other}')
        widths = [model.text_backbone.embed_dims for model in (self, teacher)]
        if self.feature_weight and (widths[0] != widths[1] or not (
                self.head.separable and teacher.head.separable)):
            raise InputError('feature_weight needs heads that compare one vector a '
                             'video, of one width, in the teacher too, got widths '
                             f'{widths}')
        return teacher.requires_grad_(False).eval(),

    def pair_loss(self, text: dict[str, Tensor], video: dict[str, Tensor],
                  pair_ids: Tensor | None, inputs: dict[str, Tensor]
                  ) -> dict[str, Tensor]:
        if 'imgs' not in inputs:
            raise InputError('a teacher needs frames, and this batch has the features '
                             'of a cache')
        losses = super().pair_loss(text, video, pair_ids, inputs)
        device = inputs['imgs'].device
        teacher = self._teacher[0].to(device)
        with torch.no_grad():
            theirs = teacher.pair_features(inputs)
        with torch.autocast(device.type, enabled=False):
            if self.similarity_weight:
                with torch.no_grad():
                    goal = teacher.head.logits(*theirs)
                losses['loss_similarity'] = self.similarity_weight * divergence(
                    goal, self.head.logits(text, video), self.temperature)
            if self.feature_weight:
                losses['loss_feature'] = self.feature_weight * torch.stack([
                    1 - F.cosine_similarity(own[name], other[name], dim=-1).mean()
                    for own, other in zip((text, video), theirs) for name in own]
                ).mean()
        return losses


def _inputs_of(model: VideoTextRetriever) -> dict[str, object]:
    """Describe the inputs that a retriever takes."""
    pictures, tower = model.data_preprocessor, model.text_backbone
    known = {name: getattr(pictures, name, None) for name in ('mean', 'std', 'to_rgb')}
    return dict({name: value.flatten().tolist() if isinstance(value, Tensor) else value
                 for name, value in known.items()}, resizing=model.resizing,
                tokenizer=tower.tokenizer, context_length=tower.context_length)


def divergence(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the mean of KL(teacher || student) over the rows and over the columns.

    Of logits (N, M), which a softmax turns into shares, times the squared temperature.
    """
    ways = []
    for dim in (0, 1):
        goal, own = ((x / temperature).log_softmax(dim) for x in (teacher, student))
        ways.append((goal.exp() * (goal - own)).sum(dim).mean())
    return temperature**2 * (ways[0] + ways[1]) / 2
