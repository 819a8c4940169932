"""What stands before every route: the token, the size of a body, and headers that keep the page to itself."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "a2b_session"
OPEN_PATHS = ("/api/health",)
#: Nothing comes from elsewhere and nothing goes there, whatever the page's own scripts would like.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class Headers:
    """Add the security headers to every answer."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self.app(scope, receive, with_headers)


class BodyLimit:
    """Refuse a body of more than ``most`` bytes: by its declared length at once, else when it gets there."""

    def __init__(self, app: App, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = _header(scope, b"content-length")
        message = f"the request is larger than {self.most / 1e6:g} MB; send a smaller one, or raise --max_upload"
        if declared.isdigit() and int(declared) > self.most:
            await JSONResponse({"error": message}, 413, {"connection": "close"})(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            part = await receive()
            seen += len(part.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, message, {"connection": "close"})
            return part

        await self.app(scope, counted, send)


class TokenCheck:
    """Let through who shows the token: as ``Authorization: Bearer``, or by the cookie that ``/?token=`` gives."""

    def __init__(self, app: App, token: str) -> None:
        self.app, self.token = app, token
        self.session = hashlib.sha256(f"a2b session {token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("path") in OPEN_PATHS or self._known(scope):
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif self._same(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0], self.token):
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(COOKIE, self.session, httponly=True, samesite="strict")
            await answer(scope, receive, send)
        else:
            message = "this server wants its token: Authorization: Bearer TOKEN, or open the page as /?token=TOKEN"
            await JSONResponse({"error": message}, 401, {"www-authenticate": "Bearer"})(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        scheme, _, token = _header(scope, b"authorization").partition(" ")
        if scheme.lower() == "bearer" and self._same(token.strip(), self.token):
            return True
        try:
            morsel = SimpleCookie(_header(scope, b"cookie")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and self._same(morsel.value, self.session)

    @staticmethod
    def _same(given: str, wanted: str) -> bool:
        return hmac.compare_digest(given.encode(), wanted.encode())


def _header(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope.get("headers", ()) if key == name]
    return values[0].decode("latin-1") if values else ""
