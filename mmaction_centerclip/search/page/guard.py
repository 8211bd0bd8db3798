"""Answer known hosts and origins only, with the headers that keep a browser safe."""
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ['Guard']

HEADERS = {
    # Nothing from elsewhere, and no script or style but those files.
    'Content-Security-Policy': "default-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}


class Guard:
    """Refuse the requests of other sites' pages, and bind the own one.

    A page of any site may ask the loopback address of whoever reads it. The
    browser says in ``Origin`` or ``Sec-Fetch-Site`` that it does.

    Args:
        app (ASGIApp): What answers all other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault('Cache-Control', 'no-cache')
            await send(message)

        app = self.app
        if _is_of_another_site(scope):
            app = JSONResponse(dict(error='This page answers no other site.'), 403)
        await app(scope, receive, send_with_headers)


def _is_of_another_site(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origin = headers.get('origin')
    if origin is not None and origin.partition('://')[2] != headers.get('host'):
        return True
    # Following a link to the page itself is no harm.
    return scope['path'] != '/' and headers.get('sec-fetch-site') in (
        'cross-site', 'same-site')
