"""CLIP4Clip's sequential similarity: an LSTM over the frames."""
import torch
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmaction_centerclip.errors import check_positive_int
from mmaction_centerclip.ops import mask_or_all

from .mean_pooling import MeanPoolingHead


@MODELS.register_module()
class SequentialLSTMHead(MeanPoolingHead):
    """Mean pooling of segments and an LSTM's outputs, added.

    CLIP4Clip (arXiv 2104.08860), Sec. 3.3.2, sequential type, LSTM: one layer, from the
    first segment to the last. There are no positions; the authors' model holds a table
    of them, but does not use it in this type. Separable: a video is one vector.

    Args:
        embed_dims (int): Width E of the features.
    """

    def __init__(self, embed_dims: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.embed_dims = check_positive_int(
            f'{type(self).__name__}: embed_dims', embed_dims)
        self.lstm = nn.LSTM(embed_dims, embed_dims, batch_first=True)

    def video_features(self, segments: Tensor, frame_mask: Tensor) -> dict[str, Tensor]:
        """Return the pooled ``video`` (B, E), of unit length.

        Segments that are not valid are as if they were not there; all segments of a
        video without a valid one count.
        """
        segments = segments.float()
        frame_mask = mask_or_all(frame_mask)
        # The LSTM reads a prefix: the valid segments move to the front, in
        # their order, and its outputs back to where the segments were.
        order = frame_mask.byte().argsort(dim=1, descending=True, stable=True)
        order = order[..., None].expand_as(segments)
        packed = pack_padded_sequence(segments.gather(1, order),
                                      frame_mask.sum(dim=1).cpu(), batch_first=True,
                                      enforce_sorted=False)
        # Not every CPU has an LSTM of less than float32.
        with torch.autocast(segments.device.type, enabled=False):
            outputs, _ = self.lstm(packed)
        outputs, _ = pad_packed_sequence(
            outputs, batch_first=True, total_length=segments.shape[1])
        outputs = torch.zeros_like(segments).scatter(1, order, outputs)
        return super().video_features(outputs + segments, frame_mask)
