"""One request's images on their way, and what has become of each."""

from __future__ import annotations

import json
import pathlib
import secrets
import threading
import time
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from inference.predictor import UNCERTAINTY
from inference.server.refusal import Refused
from inference.server.uploads import Upload


@dataclass(eq=False)
class Task:
    """One image of a job: waiting while it has neither result nor error; ``seconds`` is how long it took."""

    job: Job
    upload: Upload
    result: pathlib.Path | None = None
    error: Refused | None = None
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Return whether there is nothing left to do."""
        return self.result is not None or self.error is not None

    @property
    def answer_name(self) -> str:
        """Return the result's file name: the upload's stem under the suffix of what was written."""
        assert self.result is not None
        return self._stem + self.result.suffix

    @property
    def answers(self) -> dict[pathlib.Path, str]:
        """Return the names of all files that came out, none where it failed."""
        if self.result is None:
            return {}
        beside = self.result.parent.glob(f"{self.result.stem}_{UNCERTAINTY}.*")
        return {self.result: self.answer_name} | {f: f"{self._stem}_{UNCERTAINTY}{f.suffix}" for f in beside}

    @property
    def _stem(self) -> str:
        return pathlib.PurePath(self.upload.name).stem


@dataclass(eq=False)
class Job:
    """Images of one client for one run, in a folder of their own that goes with the job.

    Attributes:
        output: "same", or the suffix that results get.
        ended: completed when every image has its result or error, also by cancelling.
        stored: bytes of the results so far.
    """

    run: str
    client: str
    folder: pathlib.Path
    output: str = "same"
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    tasks: list[Task] = field(default_factory=list)
    cancelled: bool = False
    started: bool = False
    stored: int = 0
    changed: float = field(default_factory=time.monotonic)
    ended: Future[None] = field(default_factory=Future)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, uploads: Sequence[Upload]) -> None:
        """Take the images in, before the job is queued; what is refused of them has failed already."""
        self.tasks = [Task(self, upload, error=upload.refusal) for upload in uploads]

    def settle(self, task: Task, result: pathlib.Path | None, error: Refused | None = None) -> None:
        """Note what became of one image; its upload is not needed any more."""
        task.result, task.error = result, error
        for path in (task.upload.path, task.upload.mask):
            if path is not None:
                path.unlink(missing_ok=True)
        with self._lock:
            self.changed = time.monotonic()
            self.stored += result.stat().st_size if result else 0
            if not self.ended.done() and all(t.ended for t in self.tasks):
                self.ended.set_result(None)

    @property
    def state(self) -> str:
        """Return queued, running, done or cancelled; single images may have failed in a job that is done."""
        if self.cancelled:
            return "cancelled"
        if self.ended.done():
            return "done"
        return "running" if self.started else "queued"

    def status(self) -> dict[str, Any]:
        """Return what the API tells of the job, as plain values."""
        return {
            "id": self.id,
            "run": self.run,
            "state": self.state,
            "total": len(self.tasks),
            "done": sum(t.result is not None for t in self.tasks),
            "failed": sum(t.error is not None for t in self.tasks),
            "errors": {f"{n:04}_{t.upload.name}": str(t.error) for n, t in enumerate(self.tasks, 1) if t.error},
        }

    def write_zip(self) -> pathlib.Path:
        """Return a zip of all results, numbered as they came, with ``status.json``; images are stored as they are.

        With ``--mc_dropout`` the uncertainty of each lies beside it.
        """
        path = self.folder / f"results_{secrets.token_hex(4)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for number, task in enumerate(self.tasks, 1):
                for file, name in task.answers.items():
                    archive.write(file, f"{number:04}_{name}")
            archive.writestr("status.json", json.dumps(self.status(), indent=1))
        return path
