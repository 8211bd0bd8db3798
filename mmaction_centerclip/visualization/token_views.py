"""See which patches of a video stay behind each neck of a tower."""
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import NeckStep, VideoTower
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.models.video_tokens import VideoTokens
from mmaction_centerclip.ops import mask_or_all


class TowerInputs(NamedTuple):
    """Videos as they were sampled, and as a tower takes them."""
    frames: np.ndarray  # RGB, uint8 (B, T, H, W, 3)
    imgs: Tensor  # normalised, (B, T, 3, H, W)
    frame_mask: Tensor | None  # frames that are real, bool (B, T)


def tower_of(model: nn.Module) -> VideoTower:
    """Return the video tower of a retriever or a recogniser."""
    for module in model.modules():
        if isinstance(module, VideoTower):
            return module
    raise InputError(f'{type(model).__name__} has no video tower, whose tokens could '
                     'be seen')


def tower_inputs(model: nn.Module, batch: dict, count: int) -> TowerInputs:
    """Prepare at most ``count`` first videos of a batch that could be read.

    The model is a retriever or a recogniser of clips, whose preprocessor normalises. Of
    several clips or crops of a video the first is taken.
    """
    inputs, samples = batch['inputs'], batch['data_samples']
    if isinstance(inputs, dict):
        readable = [i for i, x in enumerate(inputs['imgs']) if x is not None][:count]
        inputs = {k: [x[i] for i in readable] for k, x in inputs.items()}
        clips = inputs['imgs']
    else:
        readable = list(range(len(inputs)))[:count]
        inputs = [inputs[i] for i in readable]
        clips = [clip[0].transpose(0, 1) for clip in inputs]
    if not clips:
        return TowerInputs(np.empty((0, 0, 0, 0, 3), np.uint8), torch.empty(0), None)
    if clips[0].dtype != torch.uint8:
        raise InputError('frames to draw on must be uint8, as the pipelines of this '
                         f'project pack them, got {clips[0].dtype}')
    frames = torch.stack(clips).permute(0, 1, 3, 4, 2).cpu().numpy()
    batch = dict(inputs=inputs, data_samples=[samples[i] for i in readable])
    ready = model.data_preprocessor(batch, False)['inputs']
    if isinstance(ready, dict):
        mask = ready.get('frame_mask')
        return TowerInputs(frames, ready['imgs'], None if mask is None else mask.bool())
    return TowerInputs(frames, ready[:, 0].transpose(1, 2), None)


class TokenView(NamedTuple):
    """The patches of a batch of videos behind a neck.

    A *place* is a patch of a frame as a number, frame * N + patch. ``center`` is the
    place of the token that stands for each patch, its own where it is kept; -1 where it
    is dropped or merged into a token that is not known.
    """
    neck: str  # with its options
    center: Tensor  # int64 (B, T, N)
    size: Tensor  # patches that a place's token stands for, or 0, int64 (B, T, N)

    @property
    def kept(self) -> Tensor:
        """True where a place has a token, bool (B, T, N)."""
        return self.size > 0


@torch.no_grad()
def see_tokens(tower: VideoTower, imgs: Tensor,
               frame_mask: Tensor | None = None) -> list[TokenView]:
    """Run a tower in evaluation, and see what its necks keep.

    Holds for every neck that hands on ``positions``. The cluster of a dropped patch is
    known of necks that have a ``select`` with an assignment, see
    :class:`TokenSelection`, or a ``match``, see :class:`PairMerging`, and followed from
    neck to neck. ``imgs`` are normalised, (B, T, 3, H, W). Return one view a neck, in
    the order of the blocks; frames are those of the tower's tokens, such as VideoMAE's
    tubelets.

    Examples:
        >>> import torch
        >>> from mmaction_centerclip.models import TimmVisionTower
        >>> tower = TimmVisionTower(
        ...     img_size=32, embed_dim=64, depth=3, num_heads=2, num_classes=0,
        ...     necks=[dict(type='TokenClustering', before_block=2,
        ...                 num_segments=2, num_centers=3)])
        >>> view, = see_tokens(tower, torch.rand(1, 8, 3, 32, 32))
        >>> view.center.shape, view.kept.sum().item()
        (torch.Size([1, 8, 4]), 6)
    """
    if not tower.necks:
        raise InputError(f'{type(tower).__name__} has no necks, so that every patch '
                         'stays; give model.backbone.necks')
    views: list[TokenView] = []

    def watched(step: NeckStep, tokens: VideoTokens) -> VideoTokens:
        with _recorded(step.neck, 'to_segments', 'select', 'match') as calls:
            behind = step(tokens)
        views.append(_view(step.neck, tokens.with_positions(), behind, calls, views))
        return behind

    steps = [partial(watched, step) if isinstance(step, NeckStep) else step
             for step in tower.steps]
    with _evaluating(tower), _replaced(tower, 'steps', steps):
        tower.encode(imgs, frame_mask)
    return views


def _view(neck: TokenNeck, tokens: VideoTokens, behind: VideoTokens, calls: dict,
          views: list[TokenView]) -> TokenView:
    """Follow each patch from where it was in front of a neck."""
    behind = behind.padded()
    positions, sizes = behind.positions, behind.size
    if positions is None or positions.shape != behind.patches.shape[:3]:
        raise InputError(f'{neck}: hands on no positions of its tokens, so that nobody '
                         'can see where they come from')
    # At first every patch is at its place.
    center = views[-1].center if views else tokens.positions
    before = center.flatten(1)
    places = before.shape[1]
    # Weighted ones are drawn as the next whole number.
    sizes = torch.ones_like(positions) if sizes is None else sizes.ceil().long()
    # Tokens of size 0 pad a batch; they go to one more place, which is cut off.
    kept = positions.masked_fill(sizes == 0, places).flatten(1)
    onto = before.new_full((len(before), places + 1), -1)
    if 'select' in calls and calls['select'][1][1] is not None:
        (_, mask, *_), chosen = calls['select']
        _follow_clusters(onto, calls['to_segments'][1][0].positions, *chosen, mask)
    if calls.get('match', (None, None))[1] is not None:
        (joined, _), matched = calls['match']
        _follow_clusters(onto, joined.positions, *matched)
    onto.scatter_(1, kept, kept)
    onto[:, places] = -1
    size = torch.zeros_like(onto).scatter_(1, kept, sizes.flatten(1))
    followed = onto.gather(1, before.masked_fill(before < 0, places))
    return TokenView(str(neck), followed.view_as(center),
                     size[:, :places].view_as(center))


def _follow_clusters(onto: Tensor, positions: Tensor, indices: Tensor,
                     assignment: Tensor, mask: Tensor | None = None) -> None:
    """Write the place of each token's center to ``onto`` (B, places + 1)."""
    source = positions.flatten(1)  # (B * S, F * N)
    target = source.gather(1, indices).gather(1, assignment)
    if mask is not None:  # Padding repeats a frame that is a token's own.
        source = source.masked_fill(~mask_or_all(mask), onto.shape[1] - 1)
    onto.scatter_(1, source.reshape(len(onto), -1), target.reshape(len(onto), -1))


@contextlib.contextmanager
def _recorded(neck: TokenNeck, *names: str) -> Iterator[dict[str, tuple]]:
    """Keep arguments and results of the last call of methods, if there are any."""
    calls: dict[str, tuple] = {}
    methods = {name: getattr(neck, name) for name in names if hasattr(neck, name)}

    def record(name: str, *args) -> object:
        calls[name] = args, methods[name](*args)
        return calls[name][1]

    with contextlib.ExitStack() as stack:
        for name in methods:
            stack.enter_context(_replaced(neck, name, partial(record, name)))
        yield calls


@contextlib.contextmanager
def _replaced(module: nn.Module, name: str, function: object) -> Iterator[None]:
    """Replace a method or attribute of one module."""
    own = vars(module).get(name)
    setattr(module, name, function)
    try:
        yield
    finally:
        delattr(module, name)
        if own is not None:
            setattr(module, name, own)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and each of its parts back as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
