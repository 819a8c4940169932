"""What the brush sends becomes a mask as large as the image; anything else is refused."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

pytest.importorskip("gradio", reason="the page's library is not installed: requirements-serve.txt")

from inference.server.brush import canvas, painted_mask
from inference.server.refusal import Refused


def sent(height: int, width: int, painted: slice | None = None) -> str:
    """Return what a browser sends of a canvas with some rows painted."""
    sheet = np.zeros((height, width, 4), np.uint8)
    if painted is not None:
        sheet[painted] = (80, 40, 250, 255)
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", sheet)[1].tobytes()).decode()


def test_what_is_painted_is_as_large_as_the_image() -> None:
    content = painted_mask(sent(20, 30, slice(5, 10)), 80, 120)
    assert content is not None
    mask = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (80, 120) and set(np.unique(mask)) == {0, 255}
    assert (mask[20:40] == 255).all() and not mask[:20].any() and not mask[40:].any()


def test_nothing_painted_is_no_mask() -> None:
    assert painted_mask("", 80, 120) is None and painted_mask(sent(20, 30), 80, 120) is None


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "data:image/png;base64,!!!",
        "data:image/png;base64,aGFsbG8=",
        "data:image/png;base64," + "A" * (1 << 20),
        sent(2000, 3, slice(0, 9)),
        sent(20, 30, slice(5, 10))[:90],
    ],
    ids=["path", "no base64", "no image", "long", "large", "cut off"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="paint it again"):
        painted_mask(text, 80, 120)


def test_a_canvas_has_the_size_of_its_picture_within_limits() -> None:
    assert '<canvas width="30" height="20">' in canvas(np.zeros((20, 30, 3), np.uint8))
    assert '<canvas width="1024" height="512">' in canvas(np.zeros((1000, 2000, 3), np.uint8))
