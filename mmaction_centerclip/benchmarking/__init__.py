"""Quality, time, memory and multiply-adds of models with and without reducers."""
from .budgets import (
    REDUCERS,
    Budget,
    TowerShape,
    budget_necks,
    check_reducers,
    parse_budget,
    used_budget,
)
from .measure import (
    check_cpu_time,
    count_macs,
    describe_machine,
    median_ratio,
    peak_mib,
    time_turns,
)
from .models import (
    build_model,
    build_pair,
    clip_frames,
    frame_size,
    normalized,
    read_clips,
    tower_config,
    video_files,
    zoo_backbone,
)
from .pairs import PRICES, encoding, measure_pair, training_step
from .sweep import CellLog, Quality, Run, cell_key
from .tables import (
    compare_cells,
    differences_table,
    format_sweep,
    markdown_table,
    paired_difference,
    pareto_front,
    plot_sweep,
    summarize_cells,
    sweep_markdown,
)
from .trainings import run_training
from .twin import Prices, fidelity, neighbor_agreement

__all__ = ['Budget', 'CellLog', 'PRICES', 'Prices', 'Quality', 'REDUCERS', 'Run',
           'TowerShape', 'budget_necks', 'build_model', 'build_pair', 'cell_key',
           'check_cpu_time', 'check_reducers', 'clip_frames', 'compare_cells',
           'count_macs', 'describe_machine', 'differences_table', 'encoding',
           'fidelity', 'format_sweep', 'frame_size', 'markdown_table', 'measure_pair',
           'median_ratio', 'neighbor_agreement', 'normalized', 'paired_difference',
           'pareto_front', 'parse_budget', 'peak_mib', 'plot_sweep', 'read_clips',
           'run_training', 'summarize_cells', 'sweep_markdown', 'time_turns',
           'tower_config', 'training_step', 'used_budget', 'video_files',
           'zoo_backbone']
