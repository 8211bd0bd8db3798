"""CLIP4Clip's tight similarity: a transformer over caption and frames."""
import torch
from mmaction.registry import MODELS
from open_clip.transformer import LayerNorm, QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError, check_positive_int
from mmaction_centerclip.models.backbones import TextFeatures
from mmaction_centerclip.ops import mask_or_all

from .base import SimilarityHead
from .transformer import TextTransformerMixin


@MODELS.register_module()
class TightTransformerHead(TextTransformerMixin, SimilarityHead):
    """A transformer that reads a caption and a video together.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.3, tight type. The sequence is the sentence
    feature and the segments' features, with learned positions; a layer norm, a linear
    layer, QuickGELU and another linear layer turn its first token into a number. The
    loss takes that number as it is: there is no temperature, and ``logit_scale`` is not
    trained. As in the authors' model, nothing is normalised before and no type of token
    is marked.

    Every pair of caption and video takes a pass of the transformer. In training the
    passes are repeated in the backward pass, a chunk of pairs at a time, instead of
    keeping them.

    Args:
        embed_dims (int): Width E of the features, a multiple of ``num_heads``.
        max_positions (int): Number of learned positions, one more than the most
            segments of a video. Defaults to 77, the context length of CLIP, whose
            positions these start from.
        layer_norm_eps (float): Epsilon of the layer norms. CLIP4Clip has 1e-12.
        chunk_size (int): Pairs to pass at once.
        **kwargs: ``num_layers``, ``num_heads``, ``init_position_std`` and
            ``quick_gelu`` of :class:`TextTransformerMixin`; and see
            :class:`SimilarityHead`.
    """

    cosine = False

    def __init__(self, embed_dims: int, *, max_positions: int = 77,
                 layer_norm_eps: float = 1e-5, chunk_size: int = 1024,
                 **kwargs) -> None:
        name = type(self).__name__
        check_positive_int(f'{name}: max_positions', max_positions)
        check_positive_int(f'{name}: chunk_size', chunk_size)
        super().__init__(embed_dims, num_positions=max_positions,
                         layer_norm_eps=layer_norm_eps, **kwargs)
        # DDP wants a gradient of all that is trained.
        self.logit_scale.requires_grad = False
        self.chunk_size = chunk_size
        self.ln_pool = LayerNorm(embed_dims, eps=layer_norm_eps)
        self.dense = nn.Linear(embed_dims, embed_dims)
        self.activation = QuickGELU()
        self.similarity_dense = nn.Linear(embed_dims, 1)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        positions = len(self.position_embedding)
        if segments.shape[1] >= positions:
            raise InputError(
                f'{type(self).__name__}: max_positions={positions} is room '
                f'for a sentence and {positions - 1} segments of a video, got '
                f'{segments.shape[1]} segments')
        return dict(segments=segments.float(), segment_mask=frame_mask)

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        return dict(sentence=text.sentence.float())

    def similarity(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return similarities (texts, videos), which have no bounds.

        All segments of a video without a valid segment count.
        """
        sentence, segments = text['sentence'], video['segments']
        # The sentence is seen too.
        mask = F.pad(mask_or_all(video['segment_mask']), (1, 0), value=True)
        texts, videos = len(sentence), len(segments)
        pairs = torch.arange(texts * videos, device=sentence.device)
        scores = [checkpoint(self._score, sentence, segments, mask, part // videos,
                             part % videos, use_reentrant=False)
                  for part in pairs.split(self.chunk_size) if len(part)]
        return torch.cat([sentence.new_zeros(0), *scores]).view(texts, videos)

    def logits(self, text: dict[str, Tensor], video: dict[str, Tensor]) -> Tensor:
        """Return the similarities, not scaled, shape (texts, videos)."""
        return self.add_bias(self.similarity(text, video))

    def _score(self, sentence: Tensor, segments: Tensor, token_mask: Tensor,
               text_index: Tensor, video_index: Tensor) -> Tensor:
        """Return the scores (P, ) of pairs of indices (P, )."""
        tokens = torch.cat([sentence[text_index, None], segments[video_index]], dim=1)
        first = self.relate(tokens, token_mask[video_index])[:, 0]
        hidden = self.activation(self.dense(self.ln_pool(first)))
        return self.similarity_dense(hidden).squeeze(-1)
