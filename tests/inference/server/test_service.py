"""Jobs from submission to expiry."""

from __future__ import annotations

import io
import pathlib
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from inference.server.jobs import Job
from inference.server.refusal import Refused
from inference.server.runs import ServedRun
from inference.server.service import Service
from tests.inference.server.conftest import pixels, png

MakeService = Callable[..., Service]
SMALL = png(pixels(16, 16))
WAIT = 60


def files(count: int) -> list[Any]:
    return [(io.BytesIO(SMALL), f"{number}.png") for number in range(count)]


def until(true: Callable[[], bool]) -> None:
    """Wait for something that a worker does; AssertionError after a minute."""
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Slow(ServedRun):
    """A run that holds every image until it may go on."""

    def __init__(self, run: ServedRun) -> None:
        super().__init__(run.name, run.translator)
        self.go, self.order = threading.Semaphore(0), list[str]()

    def translate(self, upload: Any, output: str) -> pathlib.Path:
        self.order.append(upload.path.parent.name)
        assert self.go.acquire(timeout=WAIT)
        return super().translate(upload, output)


@pytest.fixture
def slow(devices: list[dict[str, ServedRun]], monkeypatch: pytest.MonkeyPatch) -> Slow:
    run = Slow(devices[0]["colour"])
    monkeypatch.setitem(devices[0], "colour", run)
    return run


def test_a_job_ends_with_its_results(make_service: MakeService) -> None:
    service = make_service()
    job = service.submit("colour", files(3), "me")
    job.ended.result(WAIT)
    status = job.status()
    assert (status["state"], status["total"], status["done"], status["failed"]) == ("done", 3, 3, 0)
    assert sorted(p.suffix for p in job.folder.iterdir()) == [".png"] * 3, "uploads go when they are translated"
    assert job.stored == sum(p.stat().st_size for p in job.folder.iterdir())


def test_a_bad_file_does_not_stop_the_others_of_its_batch(make_service: MakeService) -> None:
    service = make_service()
    (first, _), (second, _) = files(2)
    bad = [(io.BytesIO(content), name) for content, name in ((b"no image", "notes.txt"), (b"", "empty.png"))]
    job = service.submit("colour", [bad[0], (first, "a.png"), bad[1], (second, "b.png")], "me")
    job.ended.result(WAIT)
    status = job.status()
    assert (status["state"], status["done"], status["failed"]) == ("done", 2, 2)
    assert status["errors"]["0001_notes.txt"].startswith("notes.txt: not an image")
    assert status["errors"]["0003_empty.png"] == "empty.png: the file is empty"
    with zipfile.ZipFile(job.write_zip()) as archive:
        assert archive.namelist() == ["0002_a.png", "0004_b.png", "status.json"]
    with pytest.raises(Refused, match="notes.txt: not an image"):
        service.submit("colour", [(io.BytesIO(b"no image"), "notes.txt")], "me")


def test_clients_take_turns(make_service: MakeService, slow: Slow) -> None:
    service = make_service()
    large = service.submit("colour", files(4), "large")
    until(lambda: len(slow.order) == 1)
    small = service.submit("colour", files(1), "small")
    slow.go.release(5)
    for job in (large, small):
        job.ended.result(WAIT)
    assert slow.order.index(small.folder.name) <= 2, "not behind the whole batch"


def test_a_full_queue_says_so_and_keeps_nothing(make_service: MakeService, slow: Slow) -> None:
    service = make_service(queue=2)
    service.submit("colour", files(1), "a")
    until(lambda: len(slow.order) == 1)
    service.submit("colour", files(2), "a")
    folders = set(service.folder.iterdir())
    with pytest.raises(Refused, match="2 images are waiting") as refused:
        service.submit("colour", files(1), "b")
    assert refused.value.status == 503 and set(service.folder.iterdir()) == folders
    slow.go.release(3)


def test_removing_a_job_cancels_what_waits(make_service: MakeService, slow: Slow) -> None:
    service = make_service()
    job = service.submit("colour", files(3), "a")
    until(lambda: len(slow.order) == 1)
    service.remove(job)
    assert job.state == "cancelled" and len(service.queue) == 0
    slow.go.release(1)
    job.ended.result(WAIT)
    until(lambda: not job.folder.exists())
    assert len(slow.order) == 1
    with pytest.raises(Refused, match="no such job"):
        service.job(job.id)


def test_a_fault_of_the_program_ends_neither_worker_nor_job(
    make_service: MakeService, devices: list[dict[str, ServedRun]], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    def broken(source: Any, target: Any, mask: Any) -> None:
        raise KeyError("a secret of the server")

    service = make_service()
    monkeypatch.setattr(devices[0]["colour"].translator, "file", broken)
    job = service.submit("colour", files(1), "a")
    job.ended.result(WAIT)
    assert job.tasks[0].error is not None and job.tasks[0].error.status == 500
    assert "secret" not in str(job.tasks[0].error) and "a secret of the server" in capfd.readouterr().err
    assert service.health()["status"] == "ok"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB")])
def test_too_little_memory_is_said(
    make_service: MakeService, devices: list[dict[str, ServedRun]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def greedy(source: Any, target: Any, mask: Any) -> None:
        raise error

    service = make_service()
    monkeypatch.setattr(devices[0]["colour"].translator, "file", greedy)
    job = service.submit("colour", files(1), "a")
    job.ended.result(WAIT)
    assert job.tasks[0].error is not None and job.tasks[0].error.status == 507
    assert "too little memory for 16x16" in str(job.tasks[0].error)


def test_results_expire(make_service: MakeService) -> None:
    service = make_service(keep_minutes=0.01)
    job = service.submit("colour", files(1), "a")
    job.ended.result(WAIT)
    until(lambda: not job.folder.exists())
    assert service.health()["jobs"] == 0


def test_the_oldest_results_go_when_they_take_too_much_room(make_service: MakeService) -> None:
    service = make_service(max_store=0.0003)  # 300 bytes: less than two results
    jobs = [service.submit("colour", files(1), "a") for _ in range(3)]
    for job in jobs:
        job.ended.result(WAIT)
    assert jobs[-1].stored > 150
    until(lambda: not jobs[0].folder.exists() and not jobs[1].folder.exists())
    assert service.job(jobs[2].id) is jobs[2], "the newest stays, whatever its size"


def test_closing_leaves_no_file_and_no_thread(make_service: MakeService, slow: Slow) -> None:
    service = make_service()
    job = service.submit("colour", files(3), "a")
    until(lambda: len(slow.order) == 1)
    threading.Timer(0.2, slow.go.release, (3,)).start()
    service.close()
    assert not service.folder.exists() and job.ended.done()
    assert not any(worker.is_alive() for worker in service._workers)
    with pytest.raises(Refused, match="stopping"):
        service.submit("colour", files(1), "a")


def test_every_device_works(devices: list[dict[str, ServedRun]], slow: Slow) -> None:
    from inference.server.settings import ServerOptions

    service = Service([devices[0], devices[0]], ServerOptions())
    try:
        jobs: list[Job] = [service.submit("colour", files(1), "a") for _ in range(2)]
        until(lambda: len(slow.order) == 2)  # both at once
        slow.go.release(2)
        assert [job.ended.result(WAIT) for job in jobs] == [None, None]
    finally:
        service.close()
