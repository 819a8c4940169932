"""The brush of the page: the hole is painted over a picture of the image, and comes as a PNG in a line of text."""

from __future__ import annotations

import base64
import binascii

import cv2
import gradio as gr
import numpy as np

from inference.server.refusal import UNREADABLE, Refused

_SIDE = 1024  # pixels of the picture that is painted on
_LONGEST = 1 << 20  # characters of what a browser sends back
_START = "data:image/png;base64,"

_CSS = """
.canvases { position: relative; line-height: 0; width: fit-content; margin: auto; }
.canvases img { max-width: 100%; max-height: 560px; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0.6; cursor: crosshair; touch-action: none; }
.tools { display: flex; gap: 1.5em; align-items: center; padding: 0.5em 0; }
"""
_TOOLS = """<div class="tools"><b>Paint what shall be filled</b>
<label>Size <input class="size" type="range" min="0.2" max="20" step="0.2" value="4"></label>
<label><input class="rubber" type="checkbox"> Rub out</label><button class="clear">Clear</button></div>"""
_SCRIPT = """
let last = null;
const canvas = () => element.querySelector("canvas");
const place = (event) => {
    const frame = canvas().getBoundingClientRect();
    return [((event.clientX - frame.left) * canvas().width) / frame.width,
            ((event.clientY - frame.top) * canvas().height) / frame.height];
};
const paint = (event) => {
    const pen = canvas().getContext("2d"), next = place(event);
    pen.globalCompositeOperation = element.querySelector(".rubber").checked ? "destination-out" : "source-over";
    pen.lineCap = "round";
    pen.strokeStyle = "#ff2d95";
    pen.lineWidth = (Number(element.querySelector(".size").value) / 100) * Math.max(canvas().width, canvas().height);
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...next);
    pen.stroke();
    last = next;
};
element.addEventListener("pointerdown", (event) => {
    if (event.target !== canvas()) return;
    event.preventDefault();
    canvas().setPointerCapture(event.pointerId);
    last = place(event);
    paint(event);
});
element.addEventListener("pointermove", (event) => { if (last) paint(event); });
for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { last = null; });
element.addEventListener("click", (event) => {
    if (event.target.matches(".clear")) canvas().getContext("2d").clearRect(0, 0, canvas().width, canvas().height);
});
"""
#: run in the browser when the button is pressed: what is painted takes the place of the first input
COLLECT = """(painted, ...others) => {
    const canvas = document.querySelector("#brush canvas");
    return [canvas ? canvas.toDataURL("image/png") : "", ...others];
}"""


def make_brush() -> gr.HTML:
    """Return what is painted on; it is hidden until :func:`canvas` is its value."""
    return gr.HTML(visible=False, elem_id="brush", css_template=_CSS, js_on_load=_SCRIPT)


def canvas(picture: np.ndarray) -> str:
    """Return the HTML of a picture, (H,W,3) uint8, with an empty canvas over it."""
    height, width = picture.shape[:2]
    factor = min(1.0, _SIDE / max(height, width))
    width, height = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    _, content = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]))
    source = f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"
    sheet = f'<canvas width="{width}" height="{height}"></canvas>'
    return f'{_TOOLS}<div class="canvases"><img src="{source}" width="{width}" alt="image">{sheet}</div>'


def painted_mask(text: str, height: int, width: int) -> bytes | None:
    """Return the PNG of the mask, as large as the image, for what the browser sent; None where nothing is painted.

    Raises:
        Refused: it is no picture of a canvas.
    """
    if not text:
        return None
    alpha = _alpha(text)
    if not alpha.any():
        return None
    mask = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
    _, content = cv2.imencode(".png", np.where(mask > 127, 255, 0).astype(np.uint8))
    return content.tobytes()


def _alpha(text: str) -> np.ndarray:
    """Return (h,w) uint8, above zero where something is painted."""
    refused = Refused(UNREADABLE, "the painted mask did not arrive; paint it again")
    if not text.startswith(_START) or len(text) > _LONGEST:
        raise refused
    try:
        content = base64.b64decode(text.removeprefix(_START), validate=True)
    except binascii.Error:
        raise refused from None
    size = [int.from_bytes(content[begin : begin + 4], "big") for begin in (16, 20)]  # of the header of a PNG
    if content[12:16] != b"IHDR" or not all(0 < side <= _SIDE for side in size):
        raise refused
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise refused
    return np.asarray(image[..., 3])
