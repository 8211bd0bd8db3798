#!/usr/bin/env python
"""Print which share of the tokens that reducers keep shows the shapes of --hard videos.

A patch shows them where a tenth of its pixels differs from their median over the
video's frames, as these backgrounds stand still. A config imports this file for
ForegroundTokenDrop, a control that keeps such patches at random:
custom_imports = dict(imports=['docs.notes.foreground']).
"""
import argparse

import torch
from mmaction.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmaction_centerclip import cli
from mmaction_centerclip.apis import init_retriever
from mmaction_centerclip.benchmarking import (
    REDUCERS,
    Budget,
    TowerShape,
    budget_necks,
    clip_frames,
    parse_budget,
)
from mmaction_centerclip.benchmarking.models import without_necks
from mmaction_centerclip.benchmarking.twin import MeasuredTwin, Prices, TwinData
from mmaction_centerclip.engine.config import prepare_config, read_config
from mmaction_centerclip.models import VideoTextRetriever
from mmaction_centerclip.models.necks.baselines import RandomTokenDrop
from mmaction_centerclip.utils.tables import format_table
from mmaction_centerclip.visualization import tower_of

PATCH, APART, PART = 16, 0.6, 0.1  # pixels; of a deviation of the pictures; of a patch
SEEN: dict[str, Tensor] = {}


def foreground(imgs: Tensor, steps: int) -> Tensor:
    """Find the patches (B, steps, N) of frames (B, T, 3, H, W) that show something."""
    far = (imgs - imgs.median(dim=1, keepdim=True).values).abs().amax(dim=2) > APART
    parts = F.avg_pool2d(far.float(), PATCH).flatten(2)
    return parts.unflatten(1, (steps, -1)).mean(dim=2) > PART


@MODELS.register_module()
class ForegroundTokenDrop(RandomTokenDrop):
    """Keep random tokens, ``share`` of them of the foreground, where it has as many."""

    def __init__(self, *args, share: float = 0.7, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.share = share

    def scores(self, tokens: Tensor, token_mask: Tensor | None,
               frames: int) -> Tensor:
        shown = foreground(SEEN['imgs'], frames * self.num_segments)
        shown = shown.unflatten(1, (self.num_segments, frames)).flatten(2).flatten(0, 1)
        generator = None if self.training else torch.Generator().manual_seed(self.seed)
        chance = torch.rand(shown.shape, generator=generator)
        place = torch.where(shown, chance, -1).argsort(
            dim=1, descending=True).argsort(dim=1)
        first = shown & (place < round(self.share * self.num_centers))
        return chance + 2 * first + 1 * ~shown


def remember(model: VideoTextRetriever, inputs: dict[str, Tensor],
             encode=VideoTextRetriever.encode_video) -> tuple[Tensor, Tensor]:
    """Encode videos whose frames the control looks at."""
    SEEN.update(imgs=inputs['imgs'])
    return encode(model, inputs)


VideoTextRetriever.encode_video = remember


@torch.no_grad()
def share_of(twin: MeasuredTwin, necks: list[dict], steps: int) -> tuple[float, ...]:
    """Return the foreground's shares, in per cent, of what is kept and of all."""
    model, kept, every = twin._with_necks(necks), [], []
    for batch in twin.data.test:
        imgs = model.data_preprocessor(batch)['inputs']['imgs']
        shown = foreground(imgs, steps).flatten(1)
        places = model.backbone.run_blocks(imgs).positions.flatten(1)
        kept.append(shown.gather(1, places))
        every.append(shown)
    return tuple(100 * torch.cat(part).float().mean().item() for part in (kept, every))


@cli.exit_on_input_error()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--budget', type=parse_budget, default=Budget(2, 2, 16))
    parser.add_argument('--reducers', nargs='+', choices=[*REDUCERS], default=[
        'rare', 'kkz', 'kmedoids', 'dpc-knn', 'runs', 'random', 'duplicate'])
    args = parser.parse_args()
    cfg = without_necks(read_config(args.config))
    prepare_config(cfg)
    model = init_retriever(cfg, args.checkpoint)
    twin = MeasuredTwin(model, TwinData.read(cfg, model, True, None, 0), Prices())
    tower, frames = tower_of(model), clip_frames(cfg)
    rows = []
    for name in args.reducers:
        necks = budget_necks(REDUCERS[name], args.budget, 0,
                             TowerShape.of(tower, frames))
        kept, every = share_of(twin, necks, frames // tower.tubelet_size)
        rows.append([name, f'{kept:.0f}', f'{every:.0f}'])
    print(format_table(['reducer', 'kept tokens that show a shape, %', 'of all, %'],
                       rows))


if __name__ == '__main__':
    main()
