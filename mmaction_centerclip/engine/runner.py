import functools
import logging
import os.path as osp
from collections.abc import Callable

from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmaction_centerclip.errors import config_errors

from .config import prepare_config

# What the runner builds when, and from what in a config.
_PARTS = dict(
    setup_env='env_cfg', set_randomness='randomness',
    build_log_processor='log_processor', build_visualizer='visualizer',
    build_model='model', wrap_model='model_wrapper_cfg',
    register_hooks='default_hooks or custom_hooks',
    build_train_loop='train_dataloader or train_cfg',
    build_val_loop='val_dataloader, val_evaluator or val_cfg',
    build_test_loop='test_dataloader, test_evaluator or test_cfg',
    build_optim_wrapper='optim_wrapper', scale_lr='auto_scale_lr',
    build_param_scheduler='param_scheduler')

LONGEST = 20  # lines of a message that the terminal shows


@RUNNERS.register_module()
class RetrievalRunner(Runner):
    """MMEngine's runner, of configs that :func:`prepare_config` has prepared.

    What goes wrong while something is built, or a checkpoint is read, is an
    ``InputError`` that names the part of the config, or the file.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'RetrievalRunner':
        with config_errors('the config'):
            return super().from_cfg(prepare_config(cfg))

    def build_logger(self, *args, **kwargs) -> MMLogger:
        return shorten_log(super().build_logger(*args, **kwargs),
                           osp.join(self._log_dir, f'{self.timestamp}.log'))

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        with config_errors(f'{filename} cannot be loaded'):
            return super().load_checkpoint(filename, *args, **kwargs)

    def resume(self, filename: str, *args, **kwargs) -> None:
        with config_errors(f'{filename} cannot be loaded'):
            super().resume(filename, *args, **kwargs)


def shorten_log(logger: MMLogger, path: str) -> MMLogger:
    """Keep what fills screens for the log's file: environment, config, hooks."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(_is_short)
    logger.info(f'The environment, the config and the hooks are in {path}')
    return logger


def _is_short(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or str(record.msg).count('\n') < LONGEST


def is_last_of_its_kind(hook: Hook, runner) -> bool:
    """Return True if no hook of the same class was registered after this one.

    A config may list a default hook in ``custom_hooks``: the later one counts.
    """
    return [h for h in runner.hooks if type(h) is type(hook)][-1] is hook


def model_of(runner) -> nn.Module:
    """Return a runner's model, without the wrapper of several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _naming(build: Callable, part: str) -> Callable:
    """Wrap a method of the runner, so that its errors name a part of the config."""

    @functools.wraps(build)
    def wrapped(self, *args, **kwargs):
        with config_errors(part):
            return build(self, *args, **kwargs)

    return wrapped


for _name, _part in _PARTS.items():
    setattr(RetrievalRunner, _name, _naming(getattr(Runner, _name), _part))
