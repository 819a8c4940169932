"""What a browser may ask of the page's library: the few addresses the page uses, and no file but what was uploaded.

A request of the page names files by their path on the server, and the library, when it is mounted into another
application as here, would take any path or web address from it. So this is checked before the library sees it.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse

from inference.server.guards import App, Message, Receive, Scope, Send

PREFIX = "/gradio_api/"
_GET = ("file=", "queue/data", "heartbeat/", "upload_progress", "startup-events", "info")
_POST = ("upload", "queue/join", "cancel", "reset")
_LONGEST = 1 << 20  # bytes of a request that is not an upload


class PageGate:
    """Stand before the page's library.

    Args:
        folder: where it keeps uploads and results.
    """

    def __init__(self, app: App, folder: pathlib.Path) -> None:
        self.app, self.folder = app, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path.startswith("/api/"):
            await self.app(scope, receive, send)
        elif not _is_used(scope["method"], path):
            await JSONResponse({"error": "there is no such address here"}, 404)(scope, receive, send)
        elif scope["method"] == "GET" or path == f"{PREFIX}upload":
            await self.app(scope, receive, send)
        else:
            body = await _read(receive)
            if body is None or not self._names_only_uploads(body):
                message = "a request of the page may name only files that were uploaded to it"
                await JSONResponse({"error": message}, 400)(scope, receive, send)
            else:
                await self.app(scope, _Replay(body, receive), send)

    def _names_only_uploads(self, body: bytes) -> bool:
        try:
            files = list(_files(json.loads(body or b"null")))
        except (ValueError, RecursionError):
            return False
        return all(self._is_upload(file) for file in files)

    def _is_upload(self, file: Any) -> bool:
        try:
            return isinstance(file, str) and pathlib.Path(file).resolve().is_relative_to(self.folder)
        except (OSError, ValueError):
            return False


def _is_used(method: str, path: str) -> bool:
    if method == "HEAD" or method == "GET":
        return not path.startswith(PREFIX) or path.removeprefix(PREFIX).startswith(_GET)
    return method == "POST" and path.removeprefix(PREFIX) in _POST


def _files(value: Any) -> Iterator[Any]:
    """Yield every ``path`` anywhere in a JSON value; the library takes files from no other key."""
    if isinstance(value, dict) and "path" in value:
        yield value["path"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _files(inner)


async def _read(receive: Receive) -> bytes | None:
    parts, size = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if message["type"] != "http.request" or size > _LONGEST:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


class _Replay:
    """Give a body that was read already once more, then what follows."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message
