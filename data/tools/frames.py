"""``prepare.py frames``: pictures out of a video, one a second, as training images."""

from __future__ import annotations

import argparse
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from data.tools.folders import check_free, partial_folder
from data.writers import write_image
from util.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("video", help="video file")
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--fps", type=float, default=1.0, help="pictures per second of video (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write the pictures as PNG files named by their time; UserError when the video cannot be read."""
    video, out = pathlib.Path(args.video).expanduser(), pathlib.Path(args.out)
    if not 0 < args.fps < float("inf"):
        raise UserError(f"--fps {args.fps:g}: give a number above 0, such as 1 or 0.2")
    check_free(out)
    partial, count = None, 0
    try:
        for time, picture in frames_of(video, args.fps):
            partial = partial or partial_folder(out)
            write_image(partial / f"{video.stem}_{round(time * 1000):09d}.png", picture)
            count += 1
        if partial is None:
            raise UserError(f"{video}: no picture in it can be decoded; convert it to MP4 (H.264) and try again")
        partial.rename(out)
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    print(f"{count} picture{'s' if count > 1 else ''}; train with: --model sr --dataroot {out}")


def frames_of(video: pathlib.Path, fps: float) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the time in seconds and the picture (H,W,3) of every 1/``fps`` seconds, from the first picture on.

    Pictures between them are passed over without being decoded. Where the file does not say how fast it runs, 25 a
    second are assumed.

    Raises:
        UserError: the file is missing or no video.
    """
    import cv2

    capture = _opened(video)
    try:
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = rate if 0 < rate < 1000 else 25.0
        number, due = 0, 0.0
        while capture.grab():
            time = number / rate
            if time >= due - 0.5 / rate:
                decoded, picture = capture.retrieve()
                if decoded:
                    yield time, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                due += 1 / fps
            number += 1
    finally:
        capture.release()


def _opened(video: pathlib.Path) -> Any:
    import cv2

    if not video.is_file():
        raise UserError(f"{video}: no such video")
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise UserError(f"{video}: not a readable video; give an MP4, AVI, MKV or WebM file")
    return capture
