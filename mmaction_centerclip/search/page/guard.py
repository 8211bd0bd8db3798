"""Refuse requests of other sites, and set the headers of all answers."""
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Nothing from elsewhere, and no script or style but those files.
    'Content-Security-Policy': "default-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}


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

        refusal = error_answer('This page answers no other site.', 403)
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


def error_answer(text: str, status: int) -> JSONResponse:
    """Return a message as an answer of that status."""
    return JSONResponse(dict(error=text), status)
