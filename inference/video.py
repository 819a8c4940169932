"""Videos frame by frame, by OpenCV; their sound is left out."""

from __future__ import annotations

import errno
import os
import pathlib
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from util.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
_CODES = {".avi": "MJPG"}


def translate_video(translate: Callable[[np.ndarray], Any], source: pathlib.Path, target: pathlib.Path) -> None:
    """Translate every frame, (H,W,3) uint8 RGB, into a video of the same rate; it appears whole or not at all.

    Raises:
        UserError: the file is no video that OpenCV reads, or the target cannot be written.
        OSError: the disk is full.
    """
    import cv2

    capture = cv2.VideoCapture(str(source))
    temporary = target.with_name(f".{secrets.token_hex(4)}{target.suffix}")
    writer, count = None, 0
    try:
        for frame in _frames(capture, source):
            result = _as_colour(translate(np.ascontiguousarray(frame[..., ::-1])), source)
            if writer is None:
                writer = _writer(temporary, capture.get(cv2.CAP_PROP_FPS) or 25.0, result.shape, target)
            writer.write(np.ascontiguousarray(result[..., ::-1]))
            count += 1
        assert writer is not None
        writer.release()
        _check_whole(temporary, count)
        os.replace(temporary, target)
    finally:
        capture.release()
        if writer is not None:
            writer.release()
        temporary.unlink(missing_ok=True)
    print(f"note: {target}: without the sound", file=sys.stderr)


def _frames(capture: Any, source: pathlib.Path) -> Iterator[np.ndarray]:
    count = 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        count += 1
        yield frame
    if not count:
        raise UserError(f"{source}: no video that can be read; convert it to .mp4")


def _check_whole(path: pathlib.Path, count: int) -> None:
    """OSError where frames are missing, of which OpenCV's writer says nothing; players may count one or two less."""
    import cv2

    written, found = cv2.VideoCapture(str(path)), 0
    try:
        while written.grab():
            found += 1
    finally:
        written.release()
    if count - found > max(2, count // 100):
        raise OSError(errno.ENOSPC, f"{found} of {count} frames were kept; is the disk full?")


def _as_colour(image: np.ndarray, source: pathlib.Path) -> np.ndarray:
    if image.dtype != np.uint8 or image.shape[2:] not in ((1,), (3,)):
        raise UserError(f"{source}: videos hold 8-bit grey or colour, and the run makes {image.dtype} images")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _writer(path: pathlib.Path, rate: float, shape: tuple[int, ...], target: pathlib.Path) -> Any:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter.fourcc(*_CODES.get(target.suffix.lower(), "mp4v"))
    writer = cv2.VideoWriter(str(path), code, rate, (shape[1], shape[0]))
    if not writer.isOpened():
        raise UserError(f"{target}: this OpenCV cannot write such a video; use .avi")
    return writer
