"""What happens on the page: show an image, translate it by one run or two, measure, name what is in the pictures."""

from __future__ import annotations

import contextlib
import io
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from inference.server.brush import canvas, painted_mask
from inference.server.comparison import Outcome, class_table, facts, follow, measure, metric_table, picture, seen
from inference.server.jobs import Job
from inference.server.service import Service
from inference.server.uploads import decode
from util.errors import UserError

NO_RUN = "(none)"
_PROGRESS = gr.Progress()
_HIDDEN = gr.update(visible=False, value=None)
_AT_ONCE = 2  # visitors whose images are in memory to be shown; others wait a moment


class Actions:
    """What the page's events do; every refusal is shown in one line."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.fillers = {name for name, run in service.runs.items() if run.fills_holes}
        self._decoding = threading.Semaphore(_AT_ONCE)

    def show(self, file: str | None, run: str, other: str) -> list[Any]:
        """Show the chosen image and let it be translated, or painted on; results of the one before go."""
        fills = not self.fillers.isdisjoint((run, other))
        mask = gr.update(visible=fills)
        if file is None:
            return [gr.update(interactive=False), mask, _HIDDEN, gr.update(visible=True), _HIDDEN, *_blank(2), ""]
        with _told(), self._decoding:
            shown = picture(self._read(file), None)
        brush = gr.update(visible=True, value=canvas(shown)) if fills else _HIDDEN
        original = _HIDDEN if fills else gr.update(visible=True, value=shown)
        return [gr.update(interactive=True), mask, brush, gr.update(visible=False), original, *_blank(2), ""]

    def translate(
        self,
        painted: str,
        mask: str | None,
        file: str,
        run: str,
        other: str,
        classify: bool,
        reference: str | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> list[Any]:
        """Translate by one run or two, and show, measure and name what came out."""
        names = dict.fromkeys([run, run if other == NO_RUN else other])
        client = f"{request.client.host if request.client else ''} page {request.session_hash}"
        with _told():
            jobs = [self._submit(name, file, client, self._mask(name, file, painted, mask)) for name in names]
            for job in jobs:
                follow(self.service, job, lambda done, text: progress(done, desc=text))
            with self._decoding:
                source = self._read(file)
                outcomes = [seen(self.service, job.tasks[0], source) for job in jobs]
                target = self._read(reference) if reference else None
                report = self._report(outcomes, source, target, classify)
        panels = [update for outcome in outcomes for update in _shown(outcome)]
        return [gr.update(visible=False), _HIDDEN, *panels, *_blank(2 - len(outcomes)), report]

    def _mask(self, run: str, file: str, painted: str, mask: str | None) -> bytes | None:
        """Return the mask file for a run that fills holes; None where transparent pixels have to say where."""
        if run not in self.fillers:
            return None
        if mask is not None:
            return pathlib.Path(mask).read_bytes()
        info = self.service.inspect(pathlib.Path(file)).info
        return painted_mask(painted, info.height, info.width)

    def _submit(self, run: str, file: str, client: str, mask: bytes | None) -> Job:
        masks = [] if mask is None else [(io.BytesIO(mask), "mask")]
        with open(file, "rb") as stream:
            return self.service.submit(run, [(stream, pathlib.Path(file).name)], client, most=1, masks=masks)

    def _read(self, file: str) -> np.ndarray:
        return decode(self.service.inspect(pathlib.Path(file)))

    def _report(self, outcomes: list[Outcome], source: np.ndarray, reference: np.ndarray | None, classify: bool) -> str:
        parts = ["  \n".join(map(facts, outcomes))]
        if reference is not None:
            parts.append(metric_table(measure(outcomes, source, reference)))
        if classify:
            parts.append(class_table(self._classes(outcomes, source)))
        return "\n\n".join(parts)

    def _classes(self, outcomes: list[Outcome], source: np.ndarray) -> dict[str, dict[str, float]]:
        """Return what the input and the results are taken for, by name."""
        classify, of_input = self.service.classifier, self.service.runs[outcomes[0].run].ranges(source.dtype.name)[0]
        if classify is None:
            return {}
        results = {outcome.run: classify(outcome.values, outcome.value_range) for outcome in outcomes}
        return {"input": classify(source, of_input)} | results


def _shown(outcome: Outcome) -> list[Any]:
    file = outcome.task.result
    assert file is not None
    named = file.with_name(f"{pathlib.PurePath(outcome.task.upload.name).stem}_{outcome.run}{file.suffix}")
    file.rename(named)
    return [
        gr.update(visible=True),
        gr.update(value=(outcome.before, outcome.after), label=f"before | {outcome.run}"),
        gr.update(value=str(named), label=f"Download {named.name}"),
    ]


def _blank(panels: int) -> list[Any]:
    return [gr.update(visible=False), gr.update(value=None), gr.update(value=None)] * panels


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Show a mistake of the user on the page."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
