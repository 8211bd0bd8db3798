"""CLIP4Clip's tight similarity: a transformer over caption and frames."""
import torch
from mmaction.registry import MODELS
from open_clip.transformer import LayerNorm, QuickGELU
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import CLIPTextTower, TextFeatures

from .base import SimilarityHead, check_positive, counted
from .transformer import build_transformer, copy_text_weights, key_mask

__all__ = ['TightTransformerHead']


@MODELS.register_module()
class TightTransformerHead(SimilarityHead):
    """A transformer that reads a caption and a video together.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.3, tight type. The sequence is the
    sentence feature and the segments' features, with learned positions; a
    layer norm, a linear layer, QuickGELU and another linear layer make a
    number of its first token. That number is what the loss compares: there
    is no temperature, and ``logit_scale`` is not trained. As in the authors'
    model, nothing is normalised before and no type of token is marked.

    Every pair of caption and video takes a pass of the transformer. In
    training the passes are repeated in the backward pass, a chunk of pairs
    at a time, instead of keeping them.

    Args:
        embed_dims (int): Width E of the features, a multiple of
            ``num_heads``.
        num_layers (int): Number of blocks. Defaults to 4.
        num_heads (int, optional): Heads of a block. Defaults to None: one
            for every 64 of ``embed_dims``, at least one.
        max_positions (int): Number of learned positions, one more than the
            most segments of a video. Defaults to 77, the context length of
            CLIP, whose positions these start from.
        layer_norm_eps (float): Of the layer norms. CLIP4Clip has 1e-12.
            Defaults to 1e-5.
        quick_gelu (bool): Whether the activation is OpenAI's QuickGELU, as
            in the text tower that the blocks start from. Defaults to True.
        chunk_size (int): Pairs to pass at once. Defaults to 1024.
        **kwargs: See :class:`SimilarityHead`.

    Raises:
        InputError: If an option is not as above.
    """

    cosine = False

    def __init__(self,
                 embed_dims: int,
                 num_layers: int = 4,
                 num_heads: int | None = None,
                 max_positions: int = 77,
                 layer_norm_eps: float = 1e-5,
                 quick_gelu: bool = True,
                 chunk_size: int = 1024,
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = embed_dims
        check_positive(
            self, max_positions=max_positions, chunk_size=chunk_size)
        # DDP wants a gradient of all that is trained.
        self.logit_scale.requires_grad = False
        self.chunk_size = chunk_size
        self.transformer = build_transformer(self, embed_dims, num_layers,
                                             num_heads, layer_norm_eps,
                                             quick_gelu)
        self.position_embedding = nn.Parameter(
            0.01 * torch.randn(max_positions, embed_dims))
        self.ln_pool = LayerNorm(embed_dims, eps=layer_norm_eps)
        self.dense = nn.Linear(embed_dims, embed_dims)
        self.activation = QuickGELU()
        self.similarity_dense = nn.Linear(embed_dims, 1)

    def init_from_text_tower(self,
                             tower: CLIPTextTower,
                             positions: Tensor | None = None) -> None:
        """Copy the first blocks and positions of CLIP's text tower.

        Blocks and positions beyond the tower's keep their initialisation,
        and everything does, with a warning, if the tower's blocks are others.

        Args:
            tower (CLIPTextTower): With pretrained weights.
            positions (Tensor, optional): Shape (L, E). Defaults to None: the
                tower's.
        """
        copy_text_weights(self, tower, positions)

    def video_features(self, segments: Tensor,
                       mask: Tensor) -> dict[str, Tensor]:
        """The ``segments`` (B, S, E) and their ``segment_mask`` (B, S).

        Raises:
            InputError: If the video has too many segments for ``max_positions``.
        """
        positions = len(self.position_embedding)
        if segments.shape[1] >= positions:
            raise InputError(
                f'{type(self).__name__}: max_positions={positions} is room '
                f'for a sentence and {positions - 1} segments of a video, got '
                f'{segments.shape[1]} segments')
        return dict(segments=segments.float(), segment_mask=mask)

    def text_features(self, text: TextFeatures) -> dict[str, Tensor]:
        """The ``sentence`` feature (B, E), of any length."""
        return dict(sentence=text.sentence.float())

    def similarity(self, text: dict[str, Tensor],
                   video: dict[str, Tensor]) -> Tensor:
        """Similarities (texts, videos), which have no bounds.

        All segments of a video without a valid segment count.
        """
        sentence, segments = text['sentence'], video['segments']
        # The sentence is seen too.
        mask = F.pad(counted(video['segment_mask']), (1, 0), value=True)
        texts, videos = len(sentence), len(segments)
        scores = [sentence.new_zeros(0)]
        for start in range(0, texts * videos, self.chunk_size):
            end = min(start + self.chunk_size, texts * videos)
            pairs = torch.arange(start, end, device=sentence.device)
            inputs = (sentence, segments, mask, pairs // videos,
                      pairs % videos)
            if torch.is_grad_enabled():
                score = checkpoint(self._score, *inputs, use_reentrant=False)
            else:
                score = self._score(*inputs)
            scores.append(score)
        return torch.cat(scores).view(texts, videos)

    def logits(self, text: dict[str, Tensor],
               video: dict[str, Tensor]) -> Tensor:
        """The similarities themselves, shape (texts, videos)."""
        return self.similarity(text, video)

    def _score(self, sentence: Tensor, segments: Tensor, mask: Tensor,
               text_of: Tensor, video_of: Tensor) -> Tensor:
        """Scores (P, ) of pairs of indices."""
        tokens = torch.cat([sentence[text_of, None], segments[video_of]], 1)
        x = self.transformer(
            tokens + self.position_embedding[:tokens.shape[1]],
            attn_mask=key_mask(self.transformer, mask[video_of]))
        x = self.activation(self.dense(self.ln_pool(x[:, 0])))
        return self.similarity_dense(x).squeeze(-1)
