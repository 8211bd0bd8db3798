"""Serve the page until somebody stops it, and find what its demonstration shows."""
import contextlib
import ipaddress
import socket
import webbrowser
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import uvicorn

from mmaction_centerclip.datasets import read_annotations
from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.utils.files import path_below

from .app import make_app
from .moments import Moments

ANY_ADDRESS = ('0.0.0.0', '::', '')  # of this machine


def serve(open_index: Callable[[], VideoIndex], host: str = '127.0.0.1',
          port: int = 8000, names: Sequence[str] = (), examples: Sequence[str] = (),
          opens_browser: bool = False) -> None:
    """Serve the page of an index, and print where.

    Port 0 takes a free one; ``names`` are more of this machine, such as a proxy's.
    """
    with _listen(host, port) as listener:
        moments = Moments(open_index)
        app = make_app(moments, hosts_of(host, names), examples)
        address = f'http://{_for_browser(host)}:{listener.getsockname()[1]}/'
        print(f'The page is at {address} (stop it with Ctrl+C)', flush=True)
        if host in ANY_ADDRESS:
            print('Other machines reach it by the names and addresses that '
                  '--allow-host gives, such as --allow-host 192.168.0.2', flush=True)
        if opens_browser:
            webbrowser.open(address)
        config = uvicorn.Config(app, log_level='warning', lifespan='on',
                                server_header=False, timeout_graceful_shutdown=2)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Listen before the model is built, so that a mistake is known at once."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'--host {host} --port {port}: cannot be listened at '
                         f'({reason})') from error


def _for_browser(host: str) -> str:
    """Return how an address is written in a URL."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:  # all addresses of this machine
            return 'localhost'
        return f'[{host}]' if address.version == 6 else host
    return host


def hosts_of(host: str, names: Sequence[str] = ()) -> list[str]:
    """Return the names that requests may call this machine by.

    Where ``host`` stands for all of its addresses, its own name is one of them.
    """
    own = [socket.gethostname()] if host in ANY_ADDRESS else []
    return ['localhost', '127.0.0.1', '[::1]', _for_browser(host), *own, *names]


def find_demo(work_dir: Path, data: Path) -> tuple[Path, dict[str, list[str]]]:
    """Find the checkpoint and the test captions by video of ``tools/run_shapes.py``."""
    last, captions = work_dir / 'centerclip' / 'last_checkpoint', data / 'test.json'
    try:
        # Its folder may have been moved since.
        checkpoint = last.with_name(Path(last.read_text('utf-8').strip()).name)
    except FileNotFoundError:
        checkpoint = last.with_name('epoch_10.pth')
    except ValueError as error:
        raise InputError(f'{last} names no checkpoint: {error}') from error
    for path in (checkpoint, captions):
        if not path.is_file():
            raise InputError(f'{path} is missing: train the model of the demo first, '
                             'in some minutes, with python tools/run_shapes.py')
    return checkpoint, read_annotations(str(captions))


def copy_videos(names: Collection[str], data: Path, films: Path) -> None:
    """Encode the test videos of ``data`` as H.264, which browsers play."""
    captions = str(data / 'test.json')
    pairs = [(Path(path_below(data / 'videos', name, captions)),
              Path(path_below(films, name, captions))) for name in names]
    for source, _ in pairs:
        if not source.is_file():
            raise InputError(f'{captions}: there is no {source}')
    for source, copy in pairs:
        compress_video(str(source), str(copy), Compression(fps=0))
