"""Reducers by name, and the necks that give one a budget of tokens."""
import json
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from mmaction.registry import MODELS

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.models.backbones import VideoTower
from mmaction_centerclip.models.necks import TokenNeck
from mmaction_centerclip.utils.option_types import init_options

REDUCERS: dict[str, dict] = {
    'kmedoids': dict(type='TokenClustering'),
    'kmedoids-mean': dict(type='TokenClustering', aggregation='mean'),
    'kmedoids-adaptive': dict(type='TokenClustering', adaptive_segments=True),
    'spectral': dict(type='SpectralTokenClustering'),
    'tome': dict(type='TokenMerging'),
    'tempme': dict(type='TemporalTokenMerging'),
    'vidtldr': dict(type='SaliencyTokenMerging'),
    'dpc-knn': dict(type='DensityPeakClustering'),
    'dpc-knn-adaptive': dict(type='DensityPeakClustering', adaptive_segments=True),
    'atc': dict(type='AgglomerativeClustering'),
    'atc-adaptive': dict(type='AgglomerativeClustering', adaptive_segments=True),
    'rlt': dict(type='RunLengthTokens', before_block=1),
    'kkz': dict(type='TokenClustering', max_iters=0, proportional=True),
    'rare': dict(type='RareTokenDrop', fuse=True),
    'runs': dict(type='RunTokenMerging'),
    'segment-mean': dict(type='SegmentMeanPooling'),
    'sparse': dict(type='SparseTokenSampling'),
    'random': dict(type='RandomTokenDrop'),
    'norm': dict(type='NormTokenDrop'),
    'class-similarity': dict(type='ClassSimilarityTokenDrop'),
    'duplicate': dict(type='DuplicateTokenDrop'),
}
"""Options of each reducer's neck; those of a budget and a seed come to them."""


class Budget(NamedTuple):
    """Block, from 1, in front of which to leave segments S of tokens K each."""
    block: int
    segments: int
    tokens: int


def parse_budget(text: str) -> Budget:
    """Parse ``BLOCK,SEGMENTS,TOKENS``, three positive integers."""
    parts = re.fullmatch(','.join(['([1-9][0-9]{0,8})'] * 3), text)
    if not parts:
        raise InputError('a budget is BLOCK,SEGMENTS,TOKENS, three positive integers '
                         f'such as 7,3,49, got {text!r}')
    return Budget(*map(int, parts.groups()))


class TowerShape(NamedTuple):
    """Blocks of a tower, the frames T that its necks see, and patches N of each."""
    depth: int
    frames: int
    patches: int

    @classmethod
    def of(cls, tower: VideoTower, frames: int) -> 'TowerShape':
        """Return the shape of a tower for a clip of ``frames``, maybe in tubelets."""
        return cls(len(tower.tower_blocks()), frames // tower.tubelet_size,
                   len(tower.patch_positions()))


def budget_necks(reducer: Mapping, budget: Budget, seed: int, shape: TowerShape
                 ) -> list[dict]:
    """Return the necks that give a reducer, a neck's config, a budget.

    A budget sets the options that the reducer leaves open and its class takes.
    Merging, which loses ``r`` tokens a block, gets a neck in each block from the
    budget's to the last, with steps of equal shares: it works on more tokens meanwhile.
    Those behind a join of clips are ``TokenMerging``.

    Examples:
        >>> from mmaction_centerclip.benchmarking import (
        ...     REDUCERS, Budget, TowerShape, budget_necks)
        >>> budget_necks(REDUCERS['tome'], Budget(3, 4, 16), 0, TowerShape(4, 8, 16))
        ... # doctest: +NORMALIZE_WHITESPACE
        [{'type': 'TokenMerging', 'before_block': 3, 'num_segments': 4, 'r': 9},
         {'type': 'TokenMerging', 'before_block': 4, 'num_segments': 4, 'r': 7}]
    """
    taken = _options(reducer)
    if budget.block > shape.depth:
        raise InputError(f'budget {tuple(budget)}: block must be at most '
                         f'{shape.depth}, the blocks of the tower, got {budget.block}')
    options = dict(before_block=budget.block, num_segments=budget.segments,
                   num_centers=budget.tokens, seed=seed)
    neck = {name: value for name, value in options.items() if name in taken}
    neck = {'type': reducer['type'], **neck, **reducer}
    if 'r' not in taken or 'r' in reducer:
        return [neck]
    joins = not MODELS.get(reducer['type']).inside_block
    within = dict(type='TokenMerging') if joins else neck
    blocks = range(budget.block, shape.depth + 1)
    places = [(neck, budget.block)] * joins + [(within, block) for block in blocks]
    start, steps = shape.patches, len(places)
    if neck.get('num_segments') is not None:  # else each frame is merged by itself
        start *= shape.frames // neck['num_segments']
    if budget.tokens > start:
        raise InputError(f'{budget.tokens} tokens cannot be left of {start}, of '
                         f'{shape.frames} frames of {shape.patches} patches')
    left = [round(start * (budget.tokens / start) ** (step / steps))
            for step in range(steps + 1)]
    if any(2 * after < before for before, after in zip(left, left[1:])):
        raise InputError(
            f'{reducer["type"]} loses at most half of the tokens a step, so that '
            f'{start} of a segment cannot become {budget.tokens} in {steps} steps')
    return [{**config, 'before_block': block, 'r': max(before - after, 0)}
            for (config, block), before, after in zip(places, left, left[1:])]


def used_budget(reducer: Mapping, budget: Budget) -> tuple[int | None, ...]:
    """Return a budget with None for what the reducer does not take or sets otherwise.

    What it sets goes before the budget, and lists, of several blocks, are none.
    """
    taken = _options(reducer)
    used = [reducer.get('before_block', budget.block),
            reducer.get('num_segments', budget.segments)
            if 'num_segments' in taken else None,
            reducer.get('num_centers', budget.tokens)
            if {'num_centers', 'r'} & taken and 'r' not in reducer else None]
    return tuple(part if isinstance(part, (int, float)) else None for part in used)


def check_reducers(reducers: object, source: str) -> dict[str, dict]:
    """Check a dict of names with the options of a neck, as from a file."""
    if not isinstance(reducers, Mapping) or not all(
            isinstance(options, Mapping) for options in reducers.values()):
        raise InputError(f'{source}: expected reducers, a dict of names with the '
                         f'options of a neck, got {reducers!r}')
    try:
        json.dumps(reducers)
    except (TypeError, ValueError) as error:
        raise InputError(f'{source}: expected options of plain types: '
                         f'{error}') from None
    if 'none' in reducers:
        raise InputError(f"{source}: 'none' is the model without a reducer, expected "
                         'another name')
    return {str(name): dict(options) for name, options in reducers.items()}


def _options(reducer: Mapping) -> Collection[str]:
    """Return the options of a neck's class and its bases."""
    name = str(reducer.get('type'))
    # A dotted name would be imported.
    kind = MODELS.get(name) if name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, TokenNeck)):
        raise InputError(f'reducer {dict(reducer)}: type must be a registered neck')
    return init_options(kind).keys()
