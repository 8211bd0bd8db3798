"""From the arguments of training and testing to a runner."""
import argparse
import os
import os.path as osp
import subprocess
from datetime import timedelta

import torch
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.runner import Runner

from mmaction_centerclip.errors import InputError, check_positive_int, config_errors
from mmaction_centerclip.utils.option_types import check_options
from mmaction_centerclip.utils.tensor_files import read_checkpoint

from .config import merge_options, prepare_config, read_config
from .runner import RetrievalRunner
from .sharding import check_strategy

# Where launchers tell a process its number, of how many, and its number on the machine.
VARIABLES = dict(
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    mpi=tuple(f'OMPI_COMM_WORLD_{name}' for name in ('RANK', 'SIZE', 'LOCAL_RANK')))


def is_first_process(launcher: str) -> bool:
    """Return True on rank 0, by the variables that MMEngine will read."""
    variable, *_ = VARIABLES.get(launcher, ('', ))
    return os.environ.get(variable, '0') == '0'


def join_processes(launcher: str) -> None:
    """Join the processes of a launcher by gloo, each on a GPU where there are some.

    Unlike mmengine's ``init_dist`` it needs no GPU. One that does not come is waited
    for ten minutes.
    """
    names, needed = VARIABLES[launcher], []
    if 'MASTER_ADDR' not in os.environ:
        needed = dict(slurm=['SLURM_JOB_NODELIST']).get(launcher, ['MASTER_ADDR'])
    if missing := [name for name in (*names, *needed) if name not in os.environ]:
        raise InputError(f'--launcher {launcher} is for processes that a launcher '
                         f'starts; {", ".join(missing)} must be set')
    os.environ.update(zip(VARIABLES['pytorch'], [os.environ[name] for name in names]))
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = subprocess.run(
            ['scontrol', 'show', 'hostnames', os.environ['SLURM_JOB_NODELIST']],
            check=True, capture_output=True, text=True).stdout.split()[0]
    os.environ.setdefault('MASTER_PORT', '29500')  # as mmengine does
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']) % torch.cuda.device_count())
    try:
        torch.distributed.init_process_group('gloo', timeout=timedelta(minutes=10))
    except RuntimeError as error:
        raise InputError(f'--launcher {launcher}: not all processes have come '
                         f'({str(error).splitlines()[0]})') from error


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
        merge_options(cfg, args.cfg_options, getattr(args, 'allow_other', None))
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


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, of a prepared config."""
    check_model(cfg)
    check_strategy(cfg)
    if cfg.get('runner_type', 'RetrievalRunner') == 'RetrievalRunner':
        runner = RetrievalRunner.from_cfg(cfg)
    else:
        with config_errors('the config'):
            runner = RUNNERS.build(prepare_config(cfg))
    _check_start(cfg)
    return runner


def _check_start(cfg: Config) -> None:
    """Check that all processes start alike, as those of machines might not."""
    paths = all_gather_object(cfg.get('load_from'))
    names = [osp.basename(str(path)) for path in paths]
    if len(set(names)) > 1:
        raise InputError(f'processes start from different checkpoints, {names}: the '
                         f'work dir {cfg.work_dir} must be one folder, which all '
                         'machines see')
