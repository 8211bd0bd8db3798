"""Serve the page until somebody stops it."""
import contextlib
import ipaddress
import socket
import webbrowser
from collections.abc import Callable, Sequence

import uvicorn

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex

from .app import make_app
from .moments import Moments

__all__ = ['serve']

ANY_ADDRESS = ('0.0.0.0', '::', '')  # of this machine


def serve(open_index: Callable[[], VideoIndex], host: str = '127.0.0.1',
          port: int = 8000, names: Sequence[str] = (), examples: Sequence[str] = (),
          opens_browser: bool = False) -> None:
    """Serve the page of an index, and print where.

    Args:
        open_index (Callable[[], VideoIndex]): Opens the index.
        host (str): The address to listen at.
        port (int): Its port; 0 takes a free one.
        names (Sequence[str]): More names that requests may call this machine
            by, such as those of a proxy.
        examples (Sequence[str]): Queries to try.
        opens_browser (bool): Whether to open the page in a browser.
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
    hosts = ['localhost', '127.0.0.1', '[::1]', _for_browser(host), *names]
    if host in ANY_ADDRESS:
        hosts.append(socket.gethostname())
    return hosts
