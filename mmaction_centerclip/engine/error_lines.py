"""Say in one line what is wrong with the input, whoever found it."""
import errno
import os
import pickle
import traceback

from mmaction_centerclip.errors import InputError, printable
from mmaction_centerclip.utils.files import explain_refusal

__all__ = ['describe_error']

# Where a config is read and turned into objects. What is raised below them is
# about the config.
_BUILDING = {
    'centerclip/cli.py': ('load_config', 'build_runner'),
    'mmengine/registry/build_functions.py': (
        'build_from_cfg', 'build_scheduler_from_cfg'),
    'mmengine/config/config.py': None,
    'mmengine/runner/runner.py': ('from_cfg', '__init__', 'build_dataloader',
                         'build_train_loop', 'build_val_loop', 'build_test_loop',
                         'build_optim_wrapper', 'build_param_scheduler',
                         'build_evaluator', 'build_model', 'set_randomness',
                         'scale_lr', 'setup_env'),
}


def describe_error(error: BaseException) -> str | None:
    """Describe an error of the input, the config or the system.

    Args:
        error (BaseException): As caught.

    Returns:
        str | None: One line; None if the code may be at fault, whose
        traceback is then of use.
    """
    if isinstance(error, InputError) or (
            isinstance(error, OSError) and error.errno is None):
        # One that a data worker raised carries the worker's traceback along.
        return _line(str(error).split(f'{type(error).__name__}: ')[-1])
    if isinstance(error, pickle.UnpicklingError):
        return explain_refusal(error)
    if isinstance(error, OSError):
        return _line(f'{error.filename or "a file"}: '
                     f'{os.strerror(error.errno) or errno.errorcode[error.errno]}')
    if isinstance(error, Exception):
        return _describe_building(error)
    return None


def _describe_building(error: Exception) -> str | None:
    """Describe what a class has against the options that a config gives it."""
    place, found, fault = '', False, 'the config is at fault'
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if code.co_filename.endswith('mmengine/runner/runner.py') and code.co_name in (
                'load_checkpoint', 'resume'):
            found, fault = True, f'{frame.f_locals["filename"]} cannot be loaded'
        for path, names in _BUILDING.items():
            if code.co_filename.endswith(path) and (
                    names is None or code.co_name in names):
                found = True
                place = place or _config_file(frame.f_locals)
                cfg = frame.f_locals.get('cfg')
                if code.co_name == 'build_from_cfg' and hasattr(cfg, 'get'):
                    place = f'{cfg.get("type")}: '
                    if "'necks'" in str(error) and (reason := _why_no_host(cfg)):
                        return reason
    if not found:
        return None
    kind = type(error).__name__
    if kind in ('KeyError', 'AssertionError', 'AttributeError', 'NameError'):
        place += f'{kind}: '
    return _line(f'{fault}: {place}{error}')


def _why_no_host(config: dict) -> str | None:
    """Say why a backbone takes no necks, if that is what a config gives it."""
    from mmaction_centerclip.models import check_host
    try:
        check_host(config)
    except InputError as error:
        return _line(str(error))
    return None


def _config_file(names: dict[str, object]) -> str:
    """Name the config that a function of mmengine's is at."""
    path = names.get('filename')
    return f'{path}: ' if isinstance(path, (str, os.PathLike)) else ''


def _line(text: str) -> str:
    return printable(' '.join(text.split())) or 'an error without a message'
