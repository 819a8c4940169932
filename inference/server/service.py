"""Requests -> jobs -> workers: one thread per device, clients in turn, results that expire."""

from __future__ import annotations

import itertools
import pathlib
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from inference.server.fair_queue import FairQueue
from inference.server.jobs import Job, Task
from inference.server.naming import Names, NamingRun
from inference.server.refusal import BUSY, GONE, NO_ROOM, NOT_FOUND, UNREADABLE, Refused
from inference.server.runs import ServedRun, unexpected
from inference.server.settings import ServerOptions
from inference.server.uploads import Limits, Upload, collect, inspect, safe_name, with_masks
from util.errors import did_you_mean

_MOST_KEPT = 1000  # ended jobs
_TICK = 1.0  # seconds between looks for expired results
_CANCELLED = Refused(GONE, "cancelled")


class Service:
    """The runs behind page and API. :meth:`close` ends the workers and removes every file.

    Args:
        devices: for each device the runs opened on it, by name; the same names everywhere.
        classifier: what names the content of images on request; one for all devices.
    """

    def __init__(
        self, devices: Sequence[Mapping[str, ServedRun]], options: ServerOptions, classifier: Names | None = None
    ) -> None:
        self.options, self.runs, self.classifier = options, dict(devices[0]), classifier
        naming = {NamingRun.name: NamingRun(classifier)} if classifier else {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="a2b_serve_"))
        self.page_folder = self.folder / "page"  # what browsers upload and are shown; gone with the rest
        self.page_folder.mkdir()
        self.queue: FairQueue[Task] = FairQueue(options.queue)
        self._jobs: dict[str, Job] = {}
        self._lock, self._closing, self._next_look = threading.Lock(), threading.Event(), 0.0
        self._limits = Limits(options.max_pixels, options.max_files, 2 * options.upload_bytes)
        self._workers = [
            threading.Thread(target=self._work, args=({**runs, **naming},), name=f"device {number}", daemon=True)
            for number, runs in enumerate(devices)
        ]
        for worker in self._workers:
            worker.start()

    def submit(
        self,
        run: str,
        files: list[tuple[BinaryIO, str | None]],
        client: str,
        output: str = "same",
        most: int | None = None,
        masks: Sequence[tuple[BinaryIO, str | None]] = (),
    ) -> Job:
        """Check the files, queue them and return the job at once.

        Args:
            files: open files with the names that the client gave.
            client: whose turn it is; clients take turns.
            most: images to take at most, if fewer than ``--max_files``.
            masks: of the holes in the images, in their order, for a run that fills holes.

        Raises:
            Refused: no such run, no file that is a good image, or a full queue.
        """
        if masks and not self.check_run(run).fills_holes:
            raise Refused(UNREADABLE, f"{run} fills no holes: leave the mask out")
        self.check_run(run)
        return self._submit(run, files, client, output, most, masks)

    def submit_naming(self, file: tuple[BinaryIO, str | None], client: str) -> Job:
        """As :meth:`submit` for one image, whose result is a JSON file of its classes' probabilities.

        Raises:
            Refused: there is no classifier, the file is no good image, or the queue is full.
        """
        if self.classifier is None:
            raise Refused(NOT_FOUND, "this server names nothing; it was started without a classifier")
        return self._submit(NamingRun.name, [file], client, "json", 1)

    def _submit(
        self,
        run: str,
        files: list[tuple[BinaryIO, str | None]],
        client: str,
        output: str,
        most: int | None,
        masks: Sequence[tuple[BinaryIO, str | None]] = (),
    ) -> Job:
        if self._closing.is_set():
            raise Refused(BUSY, "the server is stopping")
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        job = Job(run, client, folder, output)
        try:
            limits = self._limits if most is None else Limits(self._limits.pixels, most, self._limits.unpacked)
            uploads = collect(files, folder, limits)
            job.add(with_masks(uploads, masks, folder, limits) if masks else uploads)
            self._enqueue(job)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise Refused(NO_ROOM, f"the upload could not be stored ({error.strerror})") from None
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return job

    def inspect(self, path: pathlib.Path) -> Upload:
        """Return what a file is, by its header; Refused when it is no image or too large."""
        return inspect(path, safe_name(path.name), self._limits)

    def check_run(self, name: str) -> ServedRun:
        """Return the run of this name; Refused, with the names there are, for any other."""
        if name not in self.runs:
            hint = did_you_mean(name[:100], self.runs)
            raise Refused(NOT_FOUND, f"no run '{name[:100]}' here{hint}; there are {', '.join(self.runs)}")
        return self.runs[name]

    def _enqueue(self, job: Job) -> None:
        with self._lock:
            self._jobs[job.id] = job
        if not self.queue.put(job.client, [task for task in job.tasks if not task.ended]):
            with self._lock:
                del self._jobs[job.id]
            waiting = len(self.queue)
            raise Refused(BUSY, f"{waiting} images are waiting already; try again later, or with fewer images")

    def job(self, key: str) -> Job:
        """Return a job by its id; Refused when there is none, or not any more."""
        with self._lock:
            job = self._jobs.get(key)
        if job is None:
            raise Refused(NOT_FOUND, "no such job; results are removed some time after they are ready")
        return job

    def remove(self, job: Job) -> None:
        """Cancel what is left of a job and delete its files."""
        job.cancelled = job.cancelled or not job.ended.done()
        for task in self.queue.discard(lambda task: task.job is job):
            job.settle(task, None, _CANCELLED)
        with self._lock:
            self._jobs.pop(job.id, None)
        if job.ended.done():  # else the worker deletes the folder after the image it is at
            shutil.rmtree(job.folder, ignore_errors=True)

    def health(self) -> dict[str, Any]:
        """Return whether the workers live and how much waits, as plain values."""
        alive = all(worker.is_alive() for worker in self._workers)
        with self._lock:
            jobs = len(self._jobs)
        return {"status": "ok" if alive else "failed", "devices": len(self._workers), "waiting": len(self.queue)} | {
            "jobs": jobs
        }

    def close(self) -> None:
        """Stop after the images that are being translated."""
        self._closing.set()
        self.queue.wake()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            self.remove(job)
        for worker in self._workers:
            worker.join(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _work(self, runs: Mapping[str, ServedRun | NamingRun]) -> None:
        while not self._closing.is_set():
            task = self.queue.get(_TICK)
            if task is not None:
                self._translate(runs[task.job.run], task)
            self._expire()

    def _translate(self, run: ServedRun | NamingRun, task: Task) -> None:
        job, upload = task.job, task.upload
        job.started = True
        result, error, began = None, None, time.monotonic()
        try:
            if job.cancelled:
                raise _CANCELLED
            result = run.translate(upload, job.output)
        except Refused as refusal:
            error = refusal
        except Exception:  # a fault of the program must not end the worker
            traceback.print_exc()
            error = unexpected(upload)
        task.seconds = time.monotonic() - began
        job.settle(task, result, error)
        if job.cancelled and job.ended.done():
            shutil.rmtree(job.folder, ignore_errors=True)

    def _expire(self) -> None:
        """Remove ended jobs that are too old, and the oldest where all together are too large."""
        now = time.monotonic()
        with self._lock:
            if now < self._next_look:
                return
            self._next_look = now + _TICK
            ended = sorted((job for job in self._jobs.values() if job.ended.done()), key=lambda job: -job.changed)
        totals = itertools.accumulate(job.stored for job in ended)
        for newer, (job, total) in enumerate(zip(ended, totals, strict=True)):
            too_old = job.changed < now - 60 * self.options.keep_minutes
            if too_old or newer >= _MOST_KEPT or (newer and total > self.options.store_bytes):
                self.remove(job)
