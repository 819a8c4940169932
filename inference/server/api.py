"""The HTTP API: one image, batches, the runs there are, and how the server is doing."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, File, Form, Header, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from inference.server.jobs import Job
from inference.server.refusal import BAD_REQUEST, NOT_FOUND, UNREADABLE, Refused
from inference.server.service import Service

Output = Literal["same", "png", "tif", "npy", "jpg", "webp"]
RunName = Annotated[str | None, Form(description="name of the run; may be left out where only one is served")]
OutputForm = Annotated[Output, Form(description="same keeps PNG, TIFF and NPY and answers other kinds losslessly")]
Client = Annotated[
    str | None, Header(max_length=100, description="your name among the clients of one address; all take turns")
]
MaskFile = Annotated[
    UploadFile | None, File(description="white = hole, as large as the image; for runs that fill holes")
]
MaskFiles = Annotated[
    list[UploadFile] | None, File(description="the masks of the images, in their order, or zips of them")
]
_POLL = 0.5  # seconds between looks whether the client is still there
_MEDIA = {
    **{".png": "image/png", ".tif": "image/tiff", ".jpg": "image/jpeg", ".webp": "image/webp"},
    ".npy": "application/octet-stream",
}
_IMAGE: dict[str, Any] = {"content": {kind: {} for kind in _MEDIA.values()}}


class Error(BaseModel):
    """Every answer that is not a success."""

    error: str


class Health(BaseModel):
    """How the server is doing."""

    status: str
    devices: int
    waiting: int
    jobs: int


class Run(BaseModel):
    """One run: its channels, and the number types of the files that it was trained on.

    Images of other channels are fitted where that is possible: grey repeated, colour made grey, alpha left out. Where
    ``brightness_alone`` is true the network sees no colours: colour images keep their own, grey ones stay grey. Where
    ``fills_holes`` is true an image comes with a mask, or with transparent pixels in its holes.
    """

    name: str
    input_channels: int
    output_channels: int
    brightness_alone: bool
    fills_holes: bool
    trained_on: dict[str, str | None]


class JobStatus(BaseModel):
    """What has become of a batch; ``errors`` by numbered name."""

    id: str
    run: str
    state: Literal["queued", "running", "done", "cancelled"]
    total: int
    done: int
    failed: int
    errors: dict[str, str]


_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": Error}, "5XX": {"model": Error}}


def make_router(service: Service) -> APIRouter:
    """Return the routes under /api."""
    router = APIRouter(prefix="/api", responses=_ERRORS)
    _add_facts(router, service)
    _add_single(router, service)
    _add_naming(router, service)
    _add_batches(router, service)
    _add_the_rest(router)
    return router


def _add_facts(router: APIRouter, service: Service) -> None:
    @router.get("/health")
    async def health() -> Health:
        """Say that the server lives, and how much it has to do."""
        return Health(**service.health())

    @router.get("/runs")
    async def runs() -> list[Run]:
        """List the runs that can be asked for."""
        return [Run(**run.describe()) for run in service.runs.values()]


def _add_single(router: APIRouter, service: Service) -> None:
    @router.post("/translate", response_class=FileResponse, responses={200: _IMAGE})
    async def translate(
        request: Request,
        image: Annotated[UploadFile, File(description="PNG, JPEG, TIFF, WebP, BMP, PGM, PPM or NPY")],
        run: RunName = None,
        output: OutputForm = "same",
        mask: MaskFile = None,
        x_client: Client = None,
    ) -> FileResponse:
        """Translate one image and answer with the image, in its depth and, where that is lossless, its kind."""
        job = await _submit(service, request, [image], run, output, x_client, most=1, masks=[mask] if mask else None)
        return await _answer(service, job, request)


def _add_naming(router: APIRouter, service: Service) -> None:
    @router.post("/classify", response_model=dict[str, float])
    async def classify(
        request: Request,
        image: Annotated[UploadFile, File(description="PNG, JPEG, TIFF, WebP, BMP, PGM, PPM or NPY")],
        x_client: Client = None,
    ) -> FileResponse:
        """Answer with the most probable classes of an image and their probabilities, best first."""
        client = _client(request, x_client)
        job = await run_in_threadpool(service.submit_naming, (image.file, image.filename), client)
        return await _answer(service, job, request)


async def _answer(service: Service, job: Job, request: Request) -> FileResponse:
    """Wait for a job of one image and answer with its result; the job goes with the answer."""
    try:
        await _wait(job, request)
        task = job.tasks[0]
        if task.error is not None:
            raise task.error
        assert task.result is not None
        return FileResponse(
            task.result,
            media_type=_MEDIA.get(task.result.suffix),
            filename=task.answer_name,
            background=BackgroundTask(service.remove, job),
        )
    except BaseException:
        await run_in_threadpool(service.remove, job)
        raise


def _add_batches(router: APIRouter, service: Service) -> None:
    @router.post("/jobs", status_code=202)
    async def start(
        request: Request,
        images: Annotated[list[UploadFile], File(description="images, or zips of images")],
        run: RunName = None,
        output: OutputForm = "same",
        masks: MaskFiles = None,
        x_client: Client = None,
    ) -> JobStatus:
        """Queue many images; ask for the job's status until it is done, then fetch its result."""
        job = await _submit(service, request, images, run, output, x_client, masks=masks)
        return JobStatus(**job.status())

    @router.get("/jobs/{job_id}")
    async def status(job_id: str) -> JobStatus:
        """Tell how far a job is."""
        return JobStatus(**service.job(job_id).status())

    @router.get("/jobs/{job_id}/result", response_class=FileResponse, responses={200: {"content": {_ZIP: {}}}})
    async def result(job_id: str) -> FileResponse:
        """Answer with a zip of the results, numbered in the order of the images, and ``status.json``."""
        job = service.job(job_id)
        if not job.ended.done():
            raise Refused(409, f"the job is {job.state}; ask again when its state is done")
        path = await run_in_threadpool(job.write_zip)
        remove = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(path, media_type=_ZIP, filename=f"{job.run}.zip", background=remove)

    @router.delete("/jobs/{job_id}", status_code=204)
    async def delete(job_id: str) -> None:
        """Cancel what waits of a job and delete its results."""
        await run_in_threadpool(service.remove, service.job(job_id))


_ZIP = "application/zip"


def _add_the_rest(router: APIRouter) -> None:
    @router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def missing(request: Request) -> None:
        """Answer for the API, where the page would with its own words."""
        raise Refused(
            NOT_FOUND, f"no {request.method} {request.url.path[:100]} here; /openapi.json lists what there is"
        )


async def _submit(
    service: Service,
    request: Request,
    files: list[UploadFile],
    run: str | None,
    output: Output,
    client: str | None,
    most: int | None = None,
    masks: list[UploadFile] | None = None,
) -> Job:
    if run is None and len(service.runs) > 1:
        raise Refused(BAD_REQUEST, f"name the run: one of {', '.join(service.runs)}")
    name = run if run is not None else next(iter(service.runs))
    opened = [(file.file, file.filename) for file in files]
    holes = [(mask.file, mask.filename) for mask in masks or []]
    return await run_in_threadpool(service.submit, name, opened, _client(request, client), output, most, holes)


def _client(request: Request, name: str | None) -> str:
    """Return whose turn a request takes: one of the address's clients."""
    return f"{request.client.host if request.client else 'unknown'} {name or ''}"


async def _wait(job: Job, request: Request) -> None:
    """Wait for the job's end; Refused, for nobody to read, when the client has gone."""
    ended = asyncio.wrap_future(job.ended)
    while not ended.done():
        await asyncio.wait({ended}, timeout=_POLL)
        if not ended.done() and await request.is_disconnected():
            raise Refused(499, "the client has gone")


def add_error_answers(app: FastAPI) -> None:
    """Let every error be one line of JSON: ``{"error": "..."}``."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        headers = {"retry-after": "10"} if error.status == 503 else None
        return JSONResponse({"error": str(error)}, error.status, headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [f"{'.'.join(map(str, e['loc'][1:])) or 'body'}: {e['msg'].lower()}" for e in error.errors()]
        return JSONResponse({"error": "; ".join(problems)[:500]}, UNREADABLE)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "internal error; the server's log tells more"}, 500)
