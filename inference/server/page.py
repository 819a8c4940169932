"""The web page: drop an image, choose the run, compare before and after, take the result away at full depth."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI

from data.readers import SUFFIXES, read_image
from inference.server.classifier import Classifier
from inference.server.comparison import Outcome, class_table, facts, follow, measure, metric_table, picture, seen
from inference.server.jobs import Job
from inference.server.service import Service
from util.errors import UserError

_SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_CSS = """
.gradio-container { max-width: 1280px !important; margin: auto; }
#title p { margin: 0; }
footer { display: none !important; }
"""
_PROGRESS = gr.Progress()
_HIDDEN = gr.update(visible=False, value=None)
_NOBODY = "(none)"
_TITLE = "## a2b\nDrop an image, choose a run, and compare. Results keep the bit depth of the image."
_HINT = "Nothing here yet. After translating, drag the bar to compare, turn the wheel to zoom, double-click to go back."


def mount_page(app: FastAPI, service: Service, classifier: Classifier | None) -> FastAPI:
    """Return the application with the page at /; nothing on it is fetched from elsewhere."""
    os.environ["GRADIO_TEMP_DIR"] = str(service.page_folder)
    page = make_page(service, classifier)
    theme = gr.themes.Soft(primary_hue="teal", font=_SYSTEM_FONTS, font_mono=("ui-monospace", "monospace"))
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=service.options.host,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=service.options.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=_CSS,
    )


class _Panel:
    """One result: the slider between before and after, and the file to take away."""

    def __init__(self, name: str) -> None:
        with gr.Column(min_width=320):
            self.slider = gr.ImageSlider(
                show_label=True,
                visible=False,
                format="png",
                max_height=640,
                interactive=False,
                buttons=["fullscreen"],  # the library's own download would give the 8-bit picture
                elem_id=f"{name}_slider",
            )
            self.download = gr.DownloadButton("Download", visible=False, elem_id=f"{name}_download")

    @property
    def parts(self) -> list[gr.components.Component]:
        return [self.slider, self.download]


def make_page(service: Service, classifier: Classifier | None) -> gr.Blocks:
    """Return the page; its work goes through the same queue as the API's."""
    keep = max(60, int(60 * service.options.keep_minutes))
    with gr.Blocks(title="a2b", analytics_enabled=False, delete_cache=(60, keep)) as page:
        gr.Markdown(_TITLE, elem_id="title")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                file, inputs, button = _make_form(list(service.runs), classifier is not None)
            with gr.Column(scale=3):
                hint = gr.Markdown(_HINT, elem_id="hint")
                original = gr.Image(
                    label="Image", visible=False, interactive=False, buttons=["fullscreen"], elem_id="original"
                )
                with gr.Row():
                    panels = [_Panel("first"), _Panel("second")]
                report = gr.Markdown(elem_id="report")
        outputs = [hint, original, *panels[0].parts, *panels[1].parts, report]
        actions = Actions(service, classifier)
        file.change(actions.show, inputs[:1], [button, *outputs], show_progress="hidden", api_visibility="private")
        button.click(actions.translate, inputs, outputs, concurrency_limit=None, api_visibility="private")
    page.queue(default_concurrency_limit=None, max_size=service.options.queue, api_open=False)
    return page


def _make_form(names: list[str], classifies: bool) -> tuple[gr.File, list[gr.components.Component], gr.Button]:
    several = len(names) > 1
    file = gr.File(label="Image", file_types=list(SUFFIXES), height=160, elem_id="image")
    inputs: list[gr.components.Component] = [
        file,
        gr.Dropdown(names, value=names[0], label="Run", visible=several, elem_id="run"),
        gr.Dropdown([_NOBODY, *names], value=_NOBODY, label="Compare with", visible=several, elem_id="other"),
        gr.Checkbox(label="Name what the pictures show", visible=classifies, elem_id="classify"),
    ]
    with gr.Accordion("Measure against a reference", open=False):
        inputs.append(gr.File(label="What it should be", file_types=list(SUFFIXES), height=120, elem_id="reference"))
    return file, inputs, gr.Button("Translate", variant="primary", interactive=False, elem_id="translate")


class Actions:
    """What the page's events do; every refusal is shown in one line."""

    def __init__(self, service: Service, classifier: Classifier | None) -> None:
        self.service, self.classifier = service, classifier
        self._decoding = threading.Semaphore(2)  # images in memory for showing, whatever the number of visitors

    def show(self, file: str | None) -> list[Any]:
        """Show the chosen image and let it be translated; results of the one before go."""
        if file is None:
            return [gr.update(interactive=False), gr.update(visible=True), *[_HIDDEN] * 5, ""]
        with _told(), self._decoding:
            shown = picture(self._read(file), None)
        return [
            gr.update(interactive=True),
            gr.update(visible=False),
            gr.update(visible=True, value=shown),
            *[_HIDDEN] * 4,
            "",
        ]

    def translate(
        self,
        file: str,
        run: str,
        other: str,
        classify: bool,
        reference: str | None,
        request: gr.Request,
        progress: gr.Progress = _PROGRESS,
    ) -> list[Any]:
        """Translate by one run or two, and show, measure and name what came out."""
        names = dict.fromkeys([run, run if other == _NOBODY else other])
        client = f"{request.client.host if request.client else ''} page {request.session_hash}"
        with _told():
            jobs = [self._submit(name, file, client) for name in names]
            for job in jobs:
                follow(self.service, job, lambda done, text: progress(done, desc=text))
            with self._decoding:
                source = self._read(file)
                outcomes = [seen(self.service, job.tasks[0], source) for job in jobs]
                target = self._read(reference) if reference else None
                report = self._report(outcomes, source, target, classify)
        panels = [update for outcome in outcomes for update in _shown(outcome)]
        return [gr.update(visible=False), _HIDDEN, *panels, *[_HIDDEN] * (4 - len(panels)), report]

    def _submit(self, run: str, file: str, client: str) -> Job:
        with open(file, "rb") as stream:
            return self.service.submit(run, [(stream, pathlib.Path(file).name)], client, most=1)

    def _read(self, file: str) -> np.ndarray:
        path = pathlib.Path(file)
        self.service.inspect(path)
        return read_image(path)

    def _report(self, outcomes: list[Outcome], source: np.ndarray, reference: np.ndarray | None, classify: bool) -> str:
        parts = ["  \n".join(map(facts, outcomes))]
        if reference is not None:
            parts.append(metric_table(measure(outcomes, source, reference)))
        if classify and self.classifier is not None:
            pictures = {"input": outcomes[0].before} | {outcome.run: outcome.after for outcome in outcomes}
            parts.append(class_table({name: self.classifier(shown) for name, shown in pictures.items()}))
        return "\n\n".join(parts)


def _shown(outcome: Outcome) -> list[Any]:
    file = outcome.task.result
    assert file is not None
    named = file.with_name(f"{pathlib.PurePath(outcome.task.upload.name).stem}_{outcome.run}{file.suffix}")
    file.rename(named)
    return [
        gr.update(visible=True, value=(outcome.before, outcome.after), label=f"before | {outcome.run}"),
        gr.update(visible=True, value=str(named), label=f"Download {named.name}"),
    ]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Show a mistake of the user on the page."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from None
