from .command_line import (
    add_common_arguments,
    build_runner,
    check_checkpoint,
    check_outputs,
    clear_errors,
    load_config,
    positive,
    read_config,
    sampled_frames,
)
from .measure import count_macs, time_interleaved

__all__ = [
    'add_common_arguments', 'build_runner', 'check_checkpoint', 'check_outputs',
    'clear_errors', 'count_macs', 'load_config', 'positive', 'read_config',
    'sampled_frames', 'time_interleaved'
]
