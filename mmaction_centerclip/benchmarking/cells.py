"""Run the cells of a sweep: a config, a reducer, a budget and a seed each."""
import hashlib
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from torch import nn

from mmaction_centerclip.cli import frame_size, read_config, sampled_frames
from mmaction_centerclip.error_lines import describe_error

from .cell_log import cell_key
from .frames import read_windows
from .reducer_grid import Budget, budget_necks
from .twins import (
    MeasuredTwin,
    SweepData,
    build_twin,
    load_trained,
    load_twin,
    with_necks,
)

__all__ = ['CellRunner']

BATCH_SIZE = 32  # of what is not timed


class CellRunner:
    """Measure cells, keeping what one needs of the one before.

    A cell is a dict: ``path`` of a config, ``cfg_options``, ``reducer`` and its
    ``options`` (``'none'`` and None for no reducer), ``block``, ``segments``,
    ``tokens``, ``seed``; ``checkpoint``, ``pretrained`` or ``train``, where the
    weights come from; ``retrieval``, ``videos`` and ``clips``, what to measure
    on; ``clock``, ``repeats``, ``batch_size``, ``device``, ``price`` and
    ``compile``, see :class:`MeasuredTwin`; and whatever else tells it from others.

    Args:
        train (Callable): Trains the model of a config with a seed in a folder,
            and returns its checkpoint.
        work_dir (str): Where trainings have their folders.
    """

    def __init__(self, train: Callable[[Config, int, Path], str],
                 work_dir: str) -> None:
        self.train, self.work_dir = train, work_dir
        self._data: dict[str, SweepData] = {}
        self._twins: dict[tuple, MeasuredTwin] = {}

    def __call__(self, cell: dict) -> dict:
        """Return a cell's row: ``cell``, and ``figures`` or why it ``failed``."""
        try:
            return dict(cell=cell, figures=self.measure(cell))
        except Exception as error:  # A bug in one reducer ends no sweep.
            reason = describe_error(error) or f'{type(error).__name__}: {error}'
            return dict(cell=cell, failed=reason.partition('\n')[0])

    def measure(self, cell: dict) -> dict[str, float]:
        """Return a cell's figures, see :meth:`MeasuredTwin.measure`."""
        cfg = read_config(cell['path'])
        cfg.merge_from_dict(cell['cfg_options'])
        if cell['pretrained']:
            cfg.model.pretrained = cell['pretrained']
        if cell['train']:
            return self._trained(cell, cfg)
        key = cell['path'], cell['seed']
        if key not in self._twins:  # one at a time
            model = load_twin(cfg, cell['checkpoint'])
            self._twins = {key: self._measured(cell, cfg, model)}
        twin = self._twins[key]
        if cell['reducer'] == 'none':
            return twin.measure()
        return twin.measure(with_necks(
            twin.model, cfg, _necks(cell, cfg, twin.model)))

    def _trained(self, cell: dict, cfg: Config) -> dict[str, float]:
        """Train a cell's model, and measure it beside itself without necks."""
        plain = build_twin(cfg)
        necks = cfg.model.backbone.necks = _necks(cell, cfg, plain)
        name = hashlib.sha256(cell_key(cell).encode()).hexdigest()[:12]
        checkpoint = self.train(cfg, cell['seed'], Path(self.work_dir, 'train', name))
        model = load_trained(cfg, necks, checkpoint)
        plain.load_state_dict(model.state_dict(), strict=False)
        return self._measured(cell, cfg, plain).measure(model, trained=True)

    def _measured(self, cell: dict, cfg: Config, model: nn.Module) -> MeasuredTwin:
        """Measure a model without necks on the config's data, decoded once."""
        if cell['path'] not in self._data:
            clips = cell['videos'] and read_windows(
                cell['videos'], cell['clips'], sampled_frames(cfg),
                frame_size(cfg, model.backbone)[0])
            self._data = {cell['path']: SweepData.read(
                cfg, cell['retrieval'], clips, BATCH_SIZE)}
        return MeasuredTwin(model, self._data[cell['path']], cell['clock'],
                            cell['repeats'], cell['batch_size'], cell['device'],
                            cell['price'], cell['compile'])


def _necks(cell: dict, cfg: Config, model: nn.Module) -> list[dict]:
    if cell['reducer'] == 'none':
        return []
    tower = model.backbone
    return budget_necks(
        cell['options'],
        Budget(cell['block'], cell['segments'] or 1, cell['tokens'] or 1), cell['seed'],
        len(tower.tower_blocks()),
        (sampled_frames(cfg), len(tower.patch_positions())))
