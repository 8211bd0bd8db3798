"""Options, checks and errors that the command line tools share."""
import argparse
import contextlib
import errno
import json
import os
import os.path as osp
import pickle
import sys
from collections.abc import Iterator

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from .engine.config import prepare_config, read_config
from .engine.runner import RetrievalRunner
from .errors import InputError, check_positive_int, config_errors, printable
from .utils.files import explain_refusal, read_checkpoint, write_text
from .utils.homes import ToolParser
from .utils.option_types import check_options


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share with MMAction2's tools."""
    add_cfg_options(parser)
    add_allow_other(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the option to override settings of configs."""
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='override settings of the config, as key=value; lists as '
        'key="[a,b]", nested ones as key="[(a,b),(c,d)]", without spaces')


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option where to run, by default on a GPU if there is one."""
    parser.add_argument('--device', type=torch_device,
                        default='cuda' if torch.cuda.is_available() else 'cpu')


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option for :func:`write_json`."""
    parser.add_argument('--json', metavar='OUT', help='write the figures here')


def add_allow_other(parser: argparse.ArgumentParser) -> None:
    """Add the option for :func:`allow_other_settings`."""
    parser.add_argument(
        '--allow-other', nargs='+', metavar='NAME',
        help='settings in which the checkpoint may differ from the config, such as '
        'lora_scale, activation, num_heads, mean, std, resizing or num_frames')


def allow_other_settings(cfg: Config, names: list[str] | None) -> None:
    """Allow a checkpoint to differ from a config in settings that it records."""
    if names:
        hooks = cfg.setdefault('default_hooks', {})
        hooks.setdefault('check_checkpoint', dict(type='CheckCheckpointHook'))
        hooks['check_checkpoint']['allow_other'] = names


def is_first_process(launcher: str) -> bool:
    """Return True on rank 0, by the variables that MMEngine will read."""
    variable = dict(pytorch='RANK', slurm='SLURM_PROCID',
                    mpi='OMPI_COMM_WORLD_RANK').get(launcher, '')
    return os.environ.get(variable, '0') == '0'


def check_model(cfg: Config) -> None:
    """Raise an InputError unless a config has a model."""
    if 'model' not in cfg:
        raise InputError(f'{cfg.filename}: the config has no model')


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and merge options of :func:`add_common_arguments`."""
    if args.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise InputError('--launcher pytorch is for processes that torchrun starts, '
                         'see tools/dist_train.sh; RANK is not set')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    if args.launcher != 'none' and not torch.cuda.is_available():
        _use_cpu_processes(cfg)
    with config_errors(args.config):
        cfg.merge_from_dict(args.cfg_options or {})
        allow_other_settings(cfg, getattr(args, 'allow_other', None))
        _check_config(cfg)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or osp.join('./work_dirs', name))
    return cfg


def _settings(
        model: dict | None, train_dataloader: dict | None, val_dataloader: dict | None,
        test_dataloader: dict | None, train_cfg: dict | None, val_cfg: dict | None,
        test_cfg: dict | None, optim_wrapper: dict | None, default_hooks: dict | None,
        env_cfg: dict | None, randomness: dict | None, log_processor: dict | None,
        visualizer: dict | None, auto_scale_lr: dict | None, work_dir: str | None,
        load_from: str | None, num_workers: int, seed: int | None) -> None:
    """Name the types of settings that no class owns."""


def _check_config(cfg: Config) -> None:
    """Check settings that no class owns."""
    check_options('the config', _settings, cfg)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        check_options(name, _settings, loader)
        if loader.get('num_workers', 0) < 0:
            raise InputError(f'{name}.num_workers must not be negative, got '
                             f'{loader.num_workers!r}')
    randomness = cfg.get('randomness') or {}
    check_options('randomness', _settings, randomness)
    if not 0 <= (randomness.get('seed') or 0) < 2**32:
        raise InputError('randomness.seed must be from 0 to 2 ** 32 - 1, got '
                         f'{randomness.seed!r}')
    for section, names in dict(
            train_cfg=('max_epochs', 'max_iters', 'val_interval'),
            log_processor=('window_size', )).items():
        for name in set(names) & set(cfg.get(section) or {}):
            check_positive_int(f'{section}.{name}', cfg[section][name])


def _use_cpu_processes(cfg: Config) -> None:
    """Distribute over processes without a GPU, which mmengine's defaults do not."""
    if cfg.launcher != 'pytorch':
        raise InputError('without a GPU, processes are launched with '
                         f'--launcher pytorch (torchrun), got {cfg.launcher}')
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))


def check_checkpoint(path: str | None) -> None:
    """Check that a local file is a checkpoint, before anything is built."""
    if path is None or '://' in path:
        return
    _, _, is_archive = read_checkpoint(path)
    if is_archive or path.endswith('.safetensors'):
        raise InputError(f'{path} is no checkpoint of mmengine; convert it with '
                         'tools/model_converters/any_to_mmaction.py')


def check_outputs(*paths: str | None) -> None:
    """Check that files can be written, before the work whose results they hold."""
    for path in filter(None, paths):
        if osp.isdir(path):
            raise InputError(f'{path} is a folder, expected a file to write')
        folder = osp.dirname(path) or '.'
        if not osp.isdir(folder):
            raise InputError(f'{path}: there is no folder {folder}')


def write_json(figures: object, path: str | None) -> None:
    """Write figures as JSON, if a file is given."""
    if path is not None:
        write_text(json.dumps(figures, indent=1), path)


def torch_device(text: str) -> str:
    """Return the name of a device that is there."""
    try:
        torch.zeros(1, device=text).cpu()  # which 'meta' has no values for
        return text
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f'{text!r}: {reason}') from None


def positive_int(text: str) -> int:
    """Parse a positive integer."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be positive, got {value}')
    return value


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, of a prepared config."""
    check_model(cfg)
    if cfg.get('runner_type', 'RetrievalRunner') == 'RetrievalRunner':
        return RetrievalRunner.from_cfg(cfg)
    with config_errors('the config'):
        return RUNNERS.build(prepare_config(cfg))


@contextlib.contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Exit with one line where the input, the config or the system is at fault.

    With ``CENTERCLIP_TRACEBACK`` in the environment the traceback is shown.
    """
    try:
        yield
    except Exception as error:
        line = describe_error(error)
        if line is None or os.environ.get('CENTERCLIP_TRACEBACK'):
            raise
        sys.exit(f'error: {line}')


def describe_error(error: BaseException) -> str | None:
    """Describe an error of the input or the system in one line.

    None if the code may be at fault, whose traceback is then of use.
    """
    if isinstance(error, pickle.UnpicklingError):
        return explain_refusal(error)
    if isinstance(error, OSError) and error.errno is not None:
        text = (f'{error.filename or "a file"}: '
                f'{os.strerror(error.errno) or errno.errorcode[error.errno]}')
    elif isinstance(error, (InputError, OSError)):
        # One that a data worker raised carries the worker's traceback along.
        text = str(error).split(f'{type(error).__name__}: ')[-1]
    else:
        return None
    return printable(' '.join(text.split())) or 'an error without a message'


def prepare_parser(doc: str, out: str, suffix: str | None) -> argparse.ArgumentParser:
    """Make the parser of a tool that prepares a data set.

    ``suffix`` is how the files of the videos end; None if the published names say.
    """
    parser = ToolParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='folder of the published files')
    parser.add_argument(
        '--out', default=out, help=f'folder to write to, default: {out}')
    parser.add_argument(
        '--suffix', default=suffix,
        help='how the files of the videos end, default: '
        f'{suffix or "as published"}')
    parser.add_argument(
        '--any-count', action='store_true',
        help='take lists with another number of videos than the published ones')
    return parser
