"""The cells of a sweep: a config, a reducer, a budget and a seed each; their log."""
import contextlib
import copy
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmaction.registry import DATASETS
from mmengine.config import Config
from torch import nn
from torch.utils._pytree import tree_leaves

from mmaction_centerclip.apis import init_retriever
from mmaction_centerclip.engine.config import prepare_config
from mmaction_centerclip.errors import InputError, config_errors
from mmaction_centerclip.utils.files import hash_file
from mmaction_centerclip.utils.weights import hash_weights
from mmaction_centerclip.version import __version__
from mmaction_centerclip.visualization import tower_of

from .budgets import Budget, TowerShape, budget_necks, used_budget
from .measure import describe_machine
from .models import build_model, clip_frames, tower_config, video_files, without_necks
from .twin import MeasuredTwin, Prices, TwinData

GROUP = ('config', 'reducer', 'block', 'segments', 'tokens')
Train = Callable[[Config, int, str], str]
WAYS = ('put in', 'scratch', 'finetuned')
"""The ways a model meets a reducer: trained without, from scratch, trained further."""
START = b'{"cell": '  # as a row begins


class Quality(NamedTuple):
    """Data to measure reducers on: test data, and clips of a folder's videos."""
    retrieval: bool = True
    videos: str | None = None
    clips: int = 96


class Run:
    """The cells of a config and a seed: reducers at budgets, beside none.

    A cell is told by its options, the necks that a budget makes of them, the machine,
    and ``contents``, a hash of this package's version, the config, the weights, the
    annotations and all videos. The model is a retriever, whose necks are left out.
    ``way`` is one of ``WAYS``. ``checkpoint`` None: what ``model.pretrained`` names.
    ``train`` trains the model of a config with a seed in a folder of a name, and
    returns its checkpoint; None: reducers are put into the model as it is.
    """

    def __init__(self, path: str, cfg: Config, seed: int, quality: Quality,
                 prices: Prices, way: str = 'put in', checkpoint: str | None = None,
                 train: Train | None = None) -> None:
        self.path, self.seed, self.quality, self.prices = path, seed, quality, prices
        self.way, self.checkpoint, self.train = way, checkpoint, train
        self.cfg = without_necks(cfg)
        prepare_config(self.cfg)
        model = self.twin()
        self.shape = TowerShape.of(tower_of(model), clip_frames(self.cfg))
        self.machine = describe_machine(prices.device)
        self.clips = _hash_files(video_files(quality.videos)) if quality.videos else ''
        self.contents = self._hash(model)

    def twin(self) -> nn.Module:
        """Build the model without necks, of random weights if cells are trained."""
        return build_model(self.cfg) if self.train else init_retriever(
            self.cfg, self.checkpoint)

    def _hash(self, model: nn.Module) -> str:
        """Hash what is measured, and on what."""
        config = self.cfg.to_dict()
        digest = hashlib.sha256(repr((config, __version__)).encode())
        loaders, files = ['test'] if self.quality.retrieval else [], []
        if self.train:
            loaders.append('train')
            named = tree_leaves([config['model'], config.get('load_from')])
            files += [x for x in named if isinstance(x, str)]
        else:
            hash_weights(digest, model)
        for name in loaders:
            with config_errors(f'{name}_dataloader'):
                dataset = DATASETS.build(self.cfg[f'{name}_dataloader'].dataset)
            samples = [dataset.get_data_info(i) for i in range(len(dataset))]
            digest.update(repr(samples).encode())
            files += dict.fromkeys(sample['filename'] for sample in samples)
        digest.update(_hash_files(files).encode())
        return digest.hexdigest()[:16]

    def cells(self, reducers: Mapping[str, dict], budgets: Sequence[Budget]
              ) -> list[dict]:
        """Return each cell once, the one without a reducer first."""
        shared = dict(config=Path(self.path).stem, seed=self.seed,
                      contents=self.contents, way=self.way,
                      machine=self.machine, **self.quality._asdict(),
                      **self.prices._asdict())
        shared['videos'] = self.clips  # by their contents
        cells = [dict(shared, reducer='none', options=None, block=None, segments=None,
                      tokens=None, necks=[])]
        for (name, options), budget in itertools.product(reducers.items(), budgets):
            used, necks = tuple(budget), None
            with contextlib.suppress(Exception):  # The cell's row will say it.
                used = used_budget(options, budget)
                necks = self._necks(options, used)
            cells.append(dict(shared, reducer=name, options=options, necks=necks,
                              **dict(zip(Budget._fields, used))))
        return list({cell_key(cell): cell for cell in cells}.values())

    def read_data(self, twin: nn.Module) -> TwinData:
        """Decode what all seeds of the config are measured on."""
        return TwinData.read(self.cfg, twin, *self.quality)

    def rows(self, cells: Sequence[dict], model: nn.Module, data: TwinData
             ) -> Iterator[dict]:
        """Yield a row a cell: ``cell``, and why it ``failed``, or what was measured.

        That are ``figures`` and ``found``, see :meth:`MeasuredTwin.measure`.
        """
        twin = None if self.train else MeasuredTwin(model, data, self.prices)
        for cell in cells:
            try:
                necks = cell['necks']
                if necks is None:
                    necks = self._necks(cell['options'],
                                        [cell[name] for name in Budget._fields])
                figures, found = (self._trained(necks, cell, data) if twin is None else
                                  twin.measure(necks))
                yield dict(cell=cell, figures=figures, found=found)
            except Exception as error:  # A bug in one reducer ends no sweep.
                kind = '' if isinstance(error, InputError) else type(error).__name__
                reason = ' '.join(str(error).split())
                yield dict(cell=cell, failed=': '.join(filter(None, (kind, reason))))

    def _necks(self, options: Mapping, used: Sequence[int | None]) -> list[dict]:
        budget = Budget(*(part or 1 for part in used))
        return budget_necks(options, budget, self.seed, self.shape)

    def _trained(self, necks: list[dict], cell: dict, data: TwinData
                 ) -> tuple[dict[str, float], dict[str, list]]:
        """Train a model, and measure it beside itself without necks."""
        cfg, plain = copy.deepcopy(self.cfg), build_model(self.cfg)
        tower_config(cfg).necks = necks
        model = init_retriever(cfg, self.train(cfg, self.seed, train_key(cell)))
        plain.load_state_dict(model.state_dict(), strict=False)
        return MeasuredTwin(plain, data, self.prices).measure(necks, model)


def _hash_files(names: Iterable[str]) -> str:
    """Return a hash of the contents of those names that are files."""
    hashes = ''.join(map(hash_file, filter(os.path.isfile, names)))
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def budget_text(*budget: int | None, absent: str = '–') -> str:
    """Write a budget as a table has it; of no reducer it is ``absent`` alone."""
    if not any(budget):
        return absent
    return ', '.join(absent if part is None else str(part) for part in budget)


def cell_key(cell: dict) -> str:
    """Return the key of a cell: its options, in any order."""
    return json.dumps(cell, sort_keys=True)


def train_key(cell: dict) -> str:
    """Return the name of a cell's training, which prices have no part in."""
    told = {name: cell[name] for name in (*GROUP, 'necks', 'seed', 'contents', 'way')}
    return hashlib.sha256(cell_key(told).encode()).hexdigest()[:12]


class CellLog:
    """Rows of finished cells, in JSON, one a line, in the order of finishing.

    A row is on the disk when :meth:`append` returns. A line that a killed program has
    cut is taken off when the file is opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[str, dict] = {}
        content = self.path.read_bytes() if self.path.is_file() else b''
        whole = content[:content.rfind(b'\n') + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                self.rows[cell_key(row['cell'])] = row
                known = isinstance(row['failed'], str) if 'failed' in row else all(
                    isinstance(x, (int, float)) for x in row['figures'].values())
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
                known = False
            if not known:
                raise InputError(f'{path}, line {number}: expected a row of a sweep, '
                                 f'got {line[:40]!r}')
        cut = content[len(whole):]
        if cut and not (cut.startswith(START) or START.startswith(cut)):
            raise InputError(f'{path}, last line: expected a row of a sweep, got '
                             f'{cut[:40]!r}')
        if cut:
            os.truncate(self.path, len(whole))

    def append(self, row: dict) -> None:
        """Add a row, a dict of plain types with its ``cell``; a later one counts."""
        try:
            with open(self.path, 'ab') as file:
                file.write(json.dumps(row).encode() + b'\n')
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f'{self.path} cannot be written: '
                             f'{error.strerror}') from None
        self.rows[cell_key(row['cell'])] = row
