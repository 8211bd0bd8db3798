"""The page's addresses, and what is answered at each."""
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
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit
from mmaction_centerclip.search.exports import FORMATS, format_hits
from mmaction_centerclip.utils.tables import format_bytes

from .guard import error_answer, guard
from .media import MOST_SECONDS, ClipFolder, TokenPicture, media_type, thumbnail
from .moments import Moments, clock

STATIC = Path(__file__).with_name('static')
MOST_BYTES = 256 * 2**20  # of a clip or picture that is looked for
MOST_HITS = 100


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
            Route('/videos', list_videos),
            Route('/search', search),
            Route('/search', search_by_upload, methods=['POST']),
            Route('/thumbnails/{file}', show_thumbnail),
            Route('/tokens/{file}', list_token_pictures),
            Route('/tokens/{file}/{number}', show_token_picture),
            Route('/play/{file}', play),
            Route('/videos/{file}', send_video),
            Route('/clips/{file}', send_clip),
            Route('/export/{kind}', export),
            Mount('/static', StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(guard), Middleware(
            TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={
            HTTPException: lambda request, error: error_answer(
                error.detail, error.status_code),
            InputError: lambda request, error: error_answer(
                moments.without_folders(str(error)), 400),
            DecodingError: lambda request, error: error_answer(
                f'The video cannot be read: {error.reason}', 404),
            ClientDisconnect: _note_end,
        },
        lifespan=lifespan)
    app.state.moments, app.state.most_bytes = moments, most_bytes
    app.state.examples = list(examples)
    return app


def _note_end(request: Request, error: ClientDisconnect) -> Response:
    """Log who went away in the middle of an upload; nobody reads the answer."""
    logging.getLogger('uvicorn.error').warning('An upload was broken off.')
    return Response(status_code=400)


def about(request: Request) -> Response:
    """Describe the index and the model."""
    state = request.app.state
    return JSONResponse(dict(state.moments.about(), examples=state.examples,
                             most_bytes=state.most_bytes))


def list_videos(request: Request) -> Response:
    """Describe at most ``count`` videos of the index, behind the ``first`` ones."""
    params = request.query_params
    first = max(0, int(_number(params.get('first', '0'), 'first')))
    return JSONResponse(request.app.state.moments.videos(
        first, _count(params.get('count', '24')), params.get('files', '')))


async def search(request: Request) -> Response:
    """Search by words, or by a moment of the index."""
    query = request.query_params.get('words', '').strip()
    if 'like' in request.query_params:
        query = _asked(request, request.query_params['like'])
    if not query:
        raise HTTPException(400, 'Say in words what to look for, or choose a file.')
    found = await _search(request, query)
    if isinstance(query, Hit):
        found['like'] = request.app.state.moments.describe(query)
    return JSONResponse(found)


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
                        413, f'The file is larger than {format_bytes(most)}, the most '
                        'that this page takes; cut a clip of it.')
                file.write(chunk)
        if not size:
            raise HTTPException(400, 'The file is empty.')
        return JSONResponse(await _search(request, path))
    finally:
        path.unlink()


async def _search(request: Request, query: str | Path | Hit) -> dict:
    params = request.query_params
    topk = _count(params.get('topk') or '12')
    min_score = params.get('min_score') or None
    if min_score is not None:
        min_score = _number(min_score, 'The lowest score')
    excluded = [words.strip() for words in params.get('not', '').split(',')]
    return dict(hits=await asyncio.wrap_future(request.app.state.moments.search(
        query, topk, min_score, params.get('files', ''), list(filter(None, excluded)))))


def _count(text: str) -> int:
    count = _number(text, 'How many moments')
    if count != int(count) or not 1 <= count <= MOST_HITS:
        raise HTTPException(400, f'How many moments must be from 1 to {MOST_HITS}.')
    return int(count)


def _number(text: str, name: str) -> float:
    with contextlib.suppress(ValueError):
        if math.isfinite(value := float(text)):
            return value
    raise HTTPException(400, f'{name} must be a number.')


def _path(request: Request, file: str, checked: bool = True) -> str:
    """Return the path of an id; only files of the index have one."""
    path = request.app.state.moments.path(file, checked)
    if path is None:
        raise HTTPException(404, 'The index has no such video.')
    return path


def _video(request: Request) -> tuple[str, int]:
    """Return the path of an address's id, and when the file was modified."""
    path = _path(request, request.path_params['file'])
    return path, os.stat(path).st_mtime_ns


def _asked(request: Request, file: str | None = None) -> Hit:
    """Return the moment of an address's id that ``start`` and ``end`` name."""
    path = _path(request, file or request.path_params['file'])
    return _moment(path, *(request.query_params.get(x, '') for x in ('start', 'end')))


def _moment(path: str, start: str, end: str, score: str = '0') -> Hit:
    start, end = _number(start, 'start'), _number(end, 'end')
    if not 0 <= start < end:
        raise HTTPException(400, 'A moment must end behind its start.')
    return Hit(path, start, end, _number(score, 'score'))


def show_thumbnail(request: Request) -> Response:
    """Send the frame of a time."""
    path, modified = _video(request)
    time = _number(request.query_params.get('time', ''), 'time')
    return Response(thumbnail(path, time, modified), media_type='image/jpeg')


async def _token_pictures(request: Request) -> list[TokenPicture]:
    _, modified = _video(request)
    return await asyncio.wrap_future(
        request.app.state.moments.token_pictures(_asked(request), modified))


async def list_token_pictures(request: Request) -> Response:
    """List what each neck keeps of a moment."""
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
    hit = _asked(request)
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
    return FileResponse(
        request.app.state.clips.cut(_asked(request)), media_type='video/mp4')


def export(request: Request) -> Response:
    """Send the moments that each ``hit`` names, by commas, as a file to keep."""
    moments, params, hits = request.app.state.moments, request.query_params, []
    kind = f'.{request.path_params["kind"]}'
    for text in params.getlist('hit')[:MOST_HITS]:
        file, *numbers = text.split(',')
        if len(numbers) != 3:
            raise HTTPException(400, 'hit must be an id, start, end and score.')
        hits.append(_moment(_path(request, file, checked=False), *numbers))
    if kind not in FORMATS:
        raise HTTPException(404, f'There is no export as {kind}.')
    text = format_hits(hits, kind, params.get('title', ''), moments.name)
    return Response(text, media_type='text/plain',
                    headers={'Content-Disposition': 'attachment'})
