import contextlib
import json
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
import uvicorn

from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.search.page import Moments, make_app

from ..films import write_film

HTML = '<img src=x onerror="window.harmed=1">&amp;.mp4'  # a name of a file


@pytest.fixture(scope='session')
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page') / 'films'
    write_film(folder / 'long.mp4', [50, 70, 60])
    write_film(folder / 'sub' / 'old.avi', [30])
    write_film(folder / HTML, [10])
    return folder


@pytest.fixture(scope='session')
def index_file(films, inferencer):
    """An index with a row for each second, of several scores."""
    path = films.with_name('my.index')
    index = VideoIndex(path, inferencer, window=4)
    index.add(films)
    index.close()
    return path


@contextlib.contextmanager
def serve_here(index_file, inferencer, **options):
    """Serve an index with uvicorn in a thread, and give its address."""
    moments = Moments(lambda: VideoIndex(index_file, inferencer))
    app = make_app(moments, ['127.0.0.1', 'localhost'], **options)
    listener = socket.create_server(('127.0.0.1', 0))
    server = uvicorn.Server(uvicorn.Config(
        app, log_level='warning', timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener], ))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f'http://127.0.0.1:{listener.getsockname()[1]}', app
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope='session')
def page(index_file, inferencer):
    """The address of the page."""
    with serve_here(index_file, inferencer, examples=['a red circle'],
                    most_bytes=2**20) as (address, _):
        yield address


@pytest.fixture(scope='session')
def ask(page):
    """Ask the page: status, headers, content; of JSON what it says."""

    def ask(path, body=None, **headers):
        request = urllib.request.Request(page + path, body, {
            name.replace('_', '-'): value for name, value in headers.items()})
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
            if answer.headers['Content-Type'] == 'application/json':
                content = json.loads(content)
            return answer.status, answer.headers, content

    return ask


@pytest.fixture(scope='module')
def chromium():
    """A real browser without a window.

    Closed behind its tests: until then this thread has a loop of asyncio, beside
    which no other can run.
    """
    playwright = pytest.importorskip('playwright.sync_api', reason='no playwright')
    program = shutil.which('chromium')
    if program is None:
        pytest.skip('no chromium')
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(
            executable_path=program, args=['--no-sandbox'])
        yield browser
        browser.close()
