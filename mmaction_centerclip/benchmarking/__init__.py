from .cell_log import CellLog, cell_key
from .cells import CellRunner
from .compare import benchmark_pair
from .families import Model, compare_times, family_of, group_families, survey
from .fidelity import fidelity, neighbor_agreement
from .frames import read_frames, read_windows, video_files
from .measure import (
    count_macs,
    describe_machine,
    median_ratio,
    time_interleaved,
    time_turns,
)
from .models import (
    MMACTION2_CONFIG,
    build_mmaction2,
    build_pair,
    random_openai_clip,
)
from .pareto import pareto_front, plot_sweep, summarize_cells
from .peak_memory import PeakMemory, peak_mib
from .prices import PRICES, measure_prices
from .recognizers import benchmark_backbones, build_backbones
from .reduced import reduced_arch
from .reducer_grid import (
    REDUCERS,
    Budget,
    budget_necks,
    parse_budget,
    used_budget,
)
from .runs import Run, read_run
from .summary import run_warnings, summarize
from .sweep_table import format_sweep, sweep_markdown
from .twins import (
    MeasuredTwin,
    SweepData,
    build_twin,
    load_trained,
    load_twin,
    with_necks,
)

__all__ = ['Budget', 'CellLog', 'CellRunner', 'MMACTION2_CONFIG', 'MeasuredTwin',
           'Model', 'PRICES', 'PeakMemory', 'REDUCERS', 'Run', 'SweepData',
           'benchmark_backbones', 'benchmark_pair', 'budget_necks', 'build_backbones',
           'build_mmaction2', 'build_pair', 'build_twin', 'cell_key', 'compare_times',
           'count_macs', 'describe_machine', 'family_of', 'fidelity', 'format_sweep',
           'group_families', 'load_trained', 'load_twin', 'measure_prices',
           'median_ratio', 'neighbor_agreement', 'pareto_front', 'parse_budget',
           'peak_mib', 'plot_sweep', 'random_openai_clip', 'read_frames', 'read_run',
           'read_windows', 'reduced_arch', 'run_warnings', 'summarize',
           'summarize_cells', 'survey', 'sweep_markdown', 'time_interleaved',
           'time_turns', 'used_budget', 'video_files', 'with_necks']
