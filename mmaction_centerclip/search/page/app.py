"""The page's addresses, what is answered at each, and to whom."""
import asyncio
import contextlib
import logging
import math
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit

from .media import MOST_SECONDS, ClipFolder, TokenPicture, media_type, thumbnail
from .moments import Moments, clock

STATIC = Path(__file__).with_name('static')
MOST_BYTES = 256 * 2**20  # of a clip or picture that is looked for
MOST_HITS = 100
HEADERS = {
    # Nothing from elsewhere, and no script or style but those files.
    'Content-Security-Policy': "default-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}


def make_app(moments: Moments, hosts: Sequence[str], examples: Sequence[str] = (),
             most_bytes: int = MOST_BYTES) -> Starlette:
    """Make the application that shows the page and answers it.

    It closes ``moments``. Requests may call this machine by the names in ``hosts``
    only: a site whose name is pointed at this machine could else read the answers.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix='search-') as folder:
            app.state.clips = ClipFolder(folder)
            yield
            moments.close()

    app = Starlette(
        routes=[
            Route('/', lambda request: FileResponse(STATIC / 'index.html')),
            Route('/about', about),
            Route('/search', search),
            Route('/search', search_by_upload, methods=['POST']),
            Route('/thumbnails/{file}', show_thumbnail),
            Route('/tokens/{file}', list_token_pictures),
            Route('/tokens/{file}/{number}', show_token_picture),
            Route('/play/{file}', play),
            Route('/videos/{file}', send_video),
            Route('/clips/{file}', send_clip),
            Mount('/static', StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(guard), Middleware(
            TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={
            HTTPException: lambda request, error: _error(error.detail,
                                                         error.status_code),
            InputError: lambda request, error: _error(str(error), 400),
            DecodingError: lambda request, error: _error(
                f'The video cannot be read: {error.reason}', 404),
            ClientDisconnect: _note_end,
        },
        lifespan=lifespan)
    app.state.moments, app.state.most_bytes = moments, most_bytes
    app.state.examples = list(examples)
    return app


def guard(app: ASGIApp) -> ASGIApp:
    """Refuse the requests of other sites' pages, and send :data:`HEADERS`.

    A page of any site may ask the loopback address; the browser's headers say so.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            return await app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault('Cache-Control', 'no-cache')
            await send(message)

        refusal = _error('This page answers no other site.', 403)
        answer = refusal if _is_of_another_site(scope) else app
        await answer(scope, receive, send_with_headers)

    return guarded


def _is_of_another_site(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origin = headers.get('origin')
    if origin is not None and origin.partition('://')[2] != headers.get('host'):
        return True
    # Following a link to the page itself is no harm.
    return scope['path'] != '/' and headers.get('sec-fetch-site') in (
        'cross-site', 'same-site')


def _note_end(request: Request, error: ClientDisconnect) -> Response:
    """Log who went away in the middle of an upload; nobody reads the answer."""
    logging.getLogger('uvicorn.error').warning('An upload was broken off.')
    return Response(status_code=400)


def _error(text: str, status: int) -> JSONResponse:
    return JSONResponse(dict(error=text), status)


def about(request: Request) -> Response:
    """Describe the index and the model."""
    state = request.app.state
    return JSONResponse(dict(state.moments.about(), examples=state.examples,
                             most_bytes=state.most_bytes))


async def search(request: Request) -> Response:
    """Search by words, or by a moment of the index."""
    query = request.query_params.get('words', '').strip()
    if 'like' in request.query_params:
        query = _moment(request, request.query_params['like'])
    if not query:
        raise HTTPException(400, 'Say in words what to look for, or choose a file.')
    return await _search(request, query)


async def search_by_upload(request: Request) -> Response:
    """Search by the clip or picture that is the request's body."""
    most, size = request.app.state.most_bytes, 0
    path = request.app.state.clips.folder / f'{secrets.token_hex(16)}.upload'
    try:
        with path.open('wb') as file:
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise HTTPException(
                        413, f'The file is larger than {most / 2**20:.0f} MB, the most '
                        'that this page takes; cut a clip of it.')
                file.write(chunk)
        if not size:
            raise HTTPException(400, 'The file is empty.')
        return await _search(request, path)
    finally:
        path.unlink()


async def _search(request: Request, query: str | Path | Hit) -> Response:
    params = request.query_params
    topk = _number(params.get('topk') or '12', 'How many moments')
    if topk != int(topk) or not 1 <= topk <= MOST_HITS:
        raise HTTPException(400, f'How many moments must be from 1 to {MOST_HITS}.')
    min_score = params.get('min_score') or None
    if min_score is not None:
        min_score = _number(min_score, 'The lowest score')
    future = request.app.state.moments.search(
        query, int(topk), min_score, params.get('files', ''))
    return JSONResponse(await asyncio.wrap_future(future))


def _number(text: str, name: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    raise HTTPException(400, f'{name} must be a number.')


def _path(request: Request, file: str) -> str:
    """Return the path of an id; only files of the index have one."""
    path = request.app.state.moments.path(file)
    if path is None:
        raise HTTPException(404, 'The index has no such video.')
    return path


def _video(request: Request) -> tuple[str, int]:
    """Return the path of an address's id, and when the file was modified."""
    path = _path(request, request.path_params['file'])
    return path, os.stat(path).st_mtime_ns


def _moment(request: Request, file: str) -> Hit:
    """Return the moment that ``start`` and ``end`` of a request name."""
    start, end = (_number(request.query_params.get(name, ''), name)
                  for name in ('start', 'end'))
    if not 0 <= start < end:
        raise HTTPException(400, 'A moment must end behind its start.')
    return Hit(_path(request, file), start, end, 0.)


def _start(request: Request) -> float:
    return max(0., _number(request.query_params.get('start', ''), 'start'))


def show_thumbnail(request: Request) -> Response:
    """Send the frame of an in point."""
    path, modified = _video(request)
    return Response(thumbnail(path, _start(request), modified), media_type='image/jpeg')


async def _token_pictures(request: Request) -> list[TokenPicture]:
    path, modified = _video(request)
    return await asyncio.wrap_future(request.app.state.moments.token_pictures(
        path, _start(request), modified))


async def list_token_pictures(request: Request) -> Response:
    """List what each neck keeps of the window that a time is in."""
    return JSONResponse([
        dict(neck=picture.neck, kept=picture.kept, patches=picture.patches,
             times=f'{clock(picture.start)} – {clock(picture.end)}',
             picture=f'{request.url.path}/{number}?{request.url.query}')
        for number, picture in enumerate(await _token_pictures(request))])


async def show_token_picture(request: Request) -> Response:
    """Send what a neck keeps, drawn."""
    for number, picture in enumerate(await _token_pictures(request)):
        if str(number) == request.path_params['number']:
            return Response(picture.png, media_type='image/png')
    raise HTTPException(404, 'The model has no such neck.')


def play(request: Request) -> Response:
    """Return the address of a moment: of its video, or of a clip."""
    file = request.path_params['file']
    hit = _moment(request, file)
    clip = dict(source=f'/clips/{file}?{request.url.query}', is_cut=True,
                is_short=hit.end - hit.start > MOST_SECONDS)
    if media_type(*_video(request)) is None:
        return JSONResponse(clip)
    return JSONResponse(dict(
        source=f'/videos/{file}#t={hit.start:.3f},{hit.end:.3f}', is_cut=False,
        is_short=False, clip=clip))


def send_video(request: Request) -> Response:
    """Send a file that browsers play, or the part of it that is asked for."""
    path, modified = _video(request)
    kind = media_type(path, modified)
    if kind is None:
        raise HTTPException(404, 'Browsers do not play this video; ask for a clip.')
    return FileResponse(path, media_type=kind)


def send_clip(request: Request) -> Response:
    """Send a moment as a clip that browsers play."""
    hit = _moment(request, request.path_params['file'])
    return FileResponse(request.app.state.clips.cut(hit), media_type='video/mp4')
