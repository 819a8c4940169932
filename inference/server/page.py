"""The web page: drop an image, choose the run, compare before and after, take the result away at full depth."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr
from fastapi import FastAPI

from data.readers import SUFFIXES
from inference.server.brush import COLLECT, make_brush
from inference.server.page_actions import NO_RUN, Actions
from inference.server.service import Service

_SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_CSS = """
.gradio-container { width: 100% !important; max-width: 1280px !important; margin: auto; }
#title p { margin: 0; }
footer { display: none !important; }
"""
_TITLE = "## a2b\nDrop an image, choose a run, and compare. Results come at full bit depth."
#: run in the browser at once when an image or a run is chosen: what follows would take the results of a click away
_WAIT = '() => ({__type__: "update", interactive: false})'
_HINT = "*After translating: drag the bar to compare, turn the wheel to zoom.*"


def mount_page(app: FastAPI, service: Service) -> FastAPI:
    """Return the application with the page at /; nothing on it is fetched from elsewhere."""
    os.environ["GRADIO_TEMP_DIR"] = str(service.page_folder)
    page = make_page(service)
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
        with gr.Column(min_width=320, visible=False) as self.column:
            self.slider = gr.ImageSlider(
                show_label=True,
                format="png",
                max_height=560,
                interactive=False,
                buttons=["fullscreen"],  # the library's own download would give the 8-bit picture
                elem_id=f"{name}_slider",
            )
            self.download = gr.DownloadButton("Download", elem_id=f"{name}_download")

    @property
    def parts(self) -> list[gr.components.Component | gr.Column]:
        """Return what a translation fills, in the order that :class:`Actions` gives them."""
        return [self.column, self.slider, self.download]


def make_page(service: Service) -> gr.Blocks:
    """Return the page; its work goes through the same queue as the API's."""
    keep = max(60, int(60 * service.options.keep_minutes))
    with gr.Blocks(title="a2b", analytics_enabled=False, delete_cache=(60, keep)) as page:
        gr.Markdown(_TITLE, elem_id="title")
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                actions = Actions(service)
                inputs, button = _make_form(actions)
            with gr.Column(scale=3):
                hint = gr.Markdown(_HINT, elem_id="hint")
                original = gr.Image(
                    label="Image", visible=False, interactive=False, buttons=["fullscreen"], elem_id="original"
                )
                brush = make_brush()
                with gr.Row():
                    panels = [_Panel("first"), _Panel("second")]
                report = gr.Markdown(elem_id="report")
        outputs = [hint, original, *panels[0].parts, *panels[1].parts, report]
        shown = [button, inputs[1], brush, *outputs]
        for choice in inputs[2:5] if actions.fillers else inputs[2:3]:
            choice.change(None, outputs=button, js=_WAIT, api_visibility="private")
            choice.change(actions.show, inputs[2:5], shown, show_progress="hidden", api_visibility="private")
        button.click(actions.translate, inputs, outputs, js=COLLECT, concurrency_limit=None, api_visibility="private")
    page.queue(default_concurrency_limit=None, max_size=service.options.queue, api_open=False)
    return page


def _make_form(actions: Actions) -> tuple[list[Any], gr.Button]:
    """Return the inputs: what is painted, mask file, image, run, other run, whether to classify, reference."""
    service = actions.service
    names = list(service.runs)
    several = len(names) > 1
    file = gr.File(label="Image", file_types=list(SUFFIXES), height=160, elem_id="image")
    mask = gr.File(
        label="Mask, white = fill",
        file_types=list(SUFFIXES),
        height=120,
        elem_id="mask",
        visible=names[0] in actions.fillers,
    )
    inputs: list[Any] = [
        gr.Textbox(visible=False),
        mask,
        file,
        gr.Dropdown(names, value=names[0], label="Run", visible=several, elem_id="run"),
        gr.Dropdown([NO_RUN, *names], value=NO_RUN, label="Compare with", visible=several, elem_id="other"),
        gr.Checkbox(label="Name what the pictures show", visible=service.classifier is not None, elem_id="classify"),
    ]
    with gr.Accordion("Measure against a reference", open=False):
        inputs.append(gr.File(label="What it should be", file_types=list(SUFFIXES), height=120, elem_id="reference"))
    return inputs, gr.Button("Translate", variant="primary", interactive=False, elem_id="translate")
