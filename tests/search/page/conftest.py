import contextlib
import json
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
import uvicorn

from mmaction_centerclip.datasets.compression import Compression, compress_video
from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.search.page import Moments, make_app

from ..films import write_film

COPY = 'sub/again.mp4'
HTML = '<img src=x onerror="window.harmed=1">&amp;.mp4'  # a name of a file


@pytest.fixture(scope='session')
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page') / 'films'
    write_film(folder / 'long.mp4', [50, 70, 60])
    write_film(folder / 'sub' / 'old.avi', [30])
    write_film(folder / HTML, [10])
    # A copy, encoded anew.
    compress_video(str(folder / 'long.mp4'), str(folder / COPY),
                   Compression(fps=0, crf=30))
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


@pytest.fixture(scope='session')
def hits(ask):
    """Moments by the names of their files, the best first."""

    def hits(**options):
        query = dict(dict(words='a red circle', topk=100), **options)
        status, _, found = ask(f'/search?{urlencode(query)}')
        assert status == 200, found
        return found['hits']

    return hits


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


@pytest.fixture
def tab(chromium, page):
    """An open page, whose errors and requests elsewhere fail the test."""
    tab = chromium.new_page(viewport=dict(width=1000, height=800))
    wrong = []
    tab.on('console', lambda message: message.type in ('error', 'warning')
           and wrong.append(message.text))
    tab.on('pageerror', lambda error: wrong.append(str(error)))
    tab.on('request', lambda request: request.url.startswith(f'{page}/')
           or wrong.append(request.url))
    tab.set_default_timeout(30_000)
    tab.wrong = wrong
    tab.goto(page)
    yield tab
    tab.close()
    assert wrong == []


def look_for(tab, words, files=''):
    """Search, and wait for the answer; the cards."""
    tab.get_by_label('Only in files like').fill(files)
    tab.get_by_label('What to look for').fill(words)
    with tab.expect_response(re.compile('/search')):
        tab.get_by_role('button', name='Search', exact=True).click()
    tab.locator('#hits[aria-busy]').wait_for(state='detached')
    return tab.locator('#hits > li')


def loaded(tab, image):
    """Wait for a picture, and return its width."""
    tab.wait_for_function('image => image.complete', arg=image.element_handle())
    return image.evaluate('image => image.naturalWidth')
