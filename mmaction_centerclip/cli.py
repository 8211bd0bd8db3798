"""Options, checks and errors that the command line tools share.

Nothing here imports what takes long before a command line is found right.
"""
import argparse
import contextlib
import errno
import importlib
import json
import os
import os.path as osp
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

from .errors import InputError, InputErrors, explain_refusal, printable
from .utils.files import expand_home, write_text


class Later:
    """Words of an option, and what converts them once the package is imported."""

    def __init__(self, convert: Callable[[object], object], words: object) -> None:
        self.convert, self.words = convert, words


class ConvertLater(argparse.Action):
    """Keep the words of an option until the whole command line is found right."""

    def __init__(self, *args, convert: Callable[[object], object], **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.convert = convert

    def __call__(self, parser, namespace, words, option_string=None):
        before = getattr(namespace, self.dest, None)
        if self.nargs == '+' and isinstance(before, Later):
            words = before.words + words
        setattr(namespace, self.dest, Later(self.convert, words))


class ToolParser(argparse.ArgumentParser):
    """A parser that reads all options before the package registers its parts.

    ``~`` is the home folder in ``~/a``, ``--b=~/a`` and ``b=~/a``.

    Args:
        registers (bool): Whether to import and register the package's parts then.
            Defaults to True.
    """

    def __init__(self, *args, registers: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.registers = registers

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        words = [re.sub(r'^([\w.-]+=|)(~.*)', lambda found: found[1] + expand_home(
            found[2]), word, flags=re.DOTALL)
                 for word in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(words, namespace)

    def parse_args(self, args: Sequence[str] | None = None, namespace=None):
        args = super().parse_args(args, namespace)
        if self.registers:
            # Of third parties about each other; no user of a tool can mend them.
            for told in 'pkg_resources is deprecated', 'Fail to import':
                warnings.filterwarnings('ignore', told)
            importlib.import_module('mmaction_centerclip.registration')
        for name, value in vars(args).items():
            if isinstance(value, Later):
                try:
                    setattr(args, name, value.convert(value.words))
                except (argparse.ArgumentTypeError, ValueError) as error:
                    self.error(f'argument --{name.replace("_", "-")}: {error}')
        return args


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share with MMAction2's tools."""
    add_cfg_options(parser)
    add_allow_other(parser)
    add_launcher(parser)


def add_launcher(parser: argparse.ArgumentParser, text: str | None = None) -> None:
    """Add the option who has started this process, one of several."""
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help=text)
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def add_cfg_options(parser: argparse.ArgumentParser, name: str = '--cfg-options',
                    text: str = 'override settings of the config') -> None:
    """Add the option to override settings of configs."""
    parser.add_argument(
        name, nargs='+', action=ConvertLater, convert=read_settings, default={},
        help=f'{text}, as key=value; lists as key="[a,b]", nested ones as '
        'key="[(a,b),(c,d)]", without spaces')


def read_settings(words: list[str]) -> dict:
    """Read ``key=value`` as mmengine's tools do, which know lists and plain values."""
    from mmengine.config import DictAction
    settings, read = {}, argparse.Namespace()
    for word in words:
        _, equals, value = word.partition('=')
        if not equals or re.search(r'(^|[[(,])(dict\(|{[\'"])', value):
            raise ValueError(f'expected key=value, got {word!r}; settings of a dict '
                             'are key.name=value, and a list of dicts needs a config')
        try:
            DictAction(['--cfg-options'], 'settings')(None, read, [word])
        except (AssertionError, RecursionError):
            raise ValueError(f'the brackets of {word!r} do not pair') from None
        settings.update(read.settings)
    return settings


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the option where to run."""
    parser.add_argument(
        '--device', action=ConvertLater, convert=torch_device,
        default=Later(torch_device, None),
        help='where to run; default: cuda where there is one, else cpu')


def add_num_workers(parser: argparse.ArgumentParser,
                    default: int | None = os.cpu_count(),
                    text: str = 'processes that decode',
                    convert: Callable[[str], int] | None = None) -> None:
    """Add the option how many processes or threads to use."""
    parser.add_argument('--num-workers', type=convert or positive_int, default=default,
                        help=f'{text}; default: {default}')


def add_figures_out(parser: argparse.ArgumentParser) -> None:
    """Add the option for :func:`write_json`."""
    parser.add_argument('--out', metavar='FILE', help='write the figures here as JSON')


def add_allow_other(parser: argparse.ArgumentParser) -> None:
    """Add the option for the settings that a checkpoint records."""
    parser.add_argument(
        '--allow-other', nargs='+', metavar='NAME',
        help='settings in which the checkpoint may differ from the config, such as '
        'lora_scale, activation, num_heads, mean, std, resizing or num_frames')


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


def torch_device(text: str | None) -> str:
    """Return the name of a device that is there; of the best one for None."""
    import torch
    if text is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
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


@contextlib.contextmanager
def exit_on_input_error() -> Iterator[None]:
    """Exit with one line where the input, the config or the system is at fault.

    Several problems of an input have a line each. With ``CENTERCLIP_TRACEBACK`` in the
    environment the traceback is shown.
    """
    try:
        yield
    except Exception as error:
        line = describe_error(error)
        if line is None or os.environ.get('CENTERCLIP_TRACEBACK'):
            raise
        sys.exit(f'error: {line}')


def describe_error(error: BaseException) -> str | None:
    """Describe an error of the input or the system in one line, several in several.

    None if the code may be at fault, whose traceback is then of use.
    """
    if isinstance(error, pickle.UnpicklingError):
        return explain_refusal(error)
    if isinstance(error, InputErrors):
        return '\n'.join(map(printable, str(error).split('\n')))
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
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter,
        registers=False)
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
