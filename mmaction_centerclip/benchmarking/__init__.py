from .compare import benchmark_pair
from .families import Model, compare_times, family_of, group_families, survey
from .frames import read_frames, video_files
from .measure import count_macs, describe_machine, time_interleaved
from .models import (
    MMACTION2_CONFIG,
    build_mmaction2,
    build_pair,
    random_openai_clip,
)
from .peak_memory import PeakMemory, peak_mib
from .recognizers import benchmark_backbones, build_backbones
from .reduced import reduced_arch
from .runs import Run, read_run
from .summary import run_warnings, summarize

__all__ = ['MMACTION2_CONFIG', 'Model', 'PeakMemory', 'Run', 'benchmark_backbones',
           'benchmark_pair', 'build_backbones', 'build_mmaction2', 'build_pair',
           'compare_times', 'count_macs', 'describe_machine', 'family_of',
           'group_families', 'peak_mib', 'random_openai_clip', 'read_frames',
           'read_run', 'reduced_arch', 'run_warnings', 'summarize', 'survey',
           'time_interleaved', 'video_files']
