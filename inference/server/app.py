"""Service -> listening server: routes, guards, page; one call that runs until it is stopped."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from inference.server.api import add_error_answers, make_router
from inference.server.guards import BodyLimit, Headers, TokenCheck
from inference.server.page_gate import PageGate
from inference.server.service import Service
from inference.server.settings import LOOPBACK, ServerOptions
from util.errors import UserError

_CONNECTIONS = 400  # at once, within the usual limit of 1024 open files; further ones get 503
_FAREWELL = 5  # seconds that open connections have when the server stops


def make_app(service: Service, options: ServerOptions) -> FastAPI:
    """Return the application; it closes the service when it shuts down."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    # the usual pages of documentation load their scripts from elsewhere; the description itself is /openapi.json
    app = FastAPI(title="a2b", summary="Translate images", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.include_router(make_router(service))
    add_error_answers(app)
    if options.page:
        from inference.server.page import mount_page

        app = mount_page(app, service)
        app.add_middleware(PageGate, folder=service.page_folder)
    app.add_middleware(BodyLimit, most=options.upload_bytes)
    if options.token:
        app.add_middleware(TokenCheck, token=options.token)
    if options.host in LOOPBACK[:2]:  # else a web site could point a name of its own at this machine
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK[:2]), www_redirect=False)
    app.add_middleware(Headers)
    return app


def listen(options: ServerOptions) -> socket.socket:
    """Return a socket that listens already; UserError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=256)
    except OSError as error:
        where = f"--host {options.host} --port {options.port}"
        raise UserError(f"{where}: {error.strerror or error}; choose others, or --port 0 for a free port") from None


def address(options: ServerOptions, port: int) -> str:
    """Return what to open in a browser on this machine."""
    host = "127.0.0.1" if options.host in ("0.0.0.0", "::") else options.host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def run(app: FastAPI, sock: socket.socket) -> None:
    """Serve until Ctrl-C or a termination signal."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_FAREWELL,
    )
    uvicorn.Server(config).run(sockets=[sock])
