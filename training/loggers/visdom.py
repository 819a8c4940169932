"""Live losses and images in visdom; a server is started on loopback where none runs, and ended with the training."""

from __future__ import annotations

import logging
import math
import pathlib
import threading
from typing import Any
from urllib.parse import urlparse

import numpy as np
from PIL import Image

from training.loggers.base import LoggerUnavailable, Position, RunInfo, SilentLogger, Times
from training.loggers.group import say
from training.loggers.history import LossHistory
from training.loggers.options import DisplayOptions
from training.loggers.visdom_server import OwnServer, is_listening, page_scripts_missing

INSTALL = (
    'visdom is not installed, so there are no live windows; to have them: pip install "setuptools<81" wheel && '
    "pip install --no-build-isolation visdom==0.2.4 (Python 3.12 and newer: pip install visdom)"
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TIMEOUT_SECONDS = 5.0
_HISTORY_POINTS = 500


class VisdomWindows(SilentLogger):
    """One line plot per group of losses (``G_GAN`` and ``G_L1`` share G), and the latest images.

    Windows are named ``<display_id>_loss_<group>`` and ``<display_id>_images`` (``_val_images`` for the val split), or
    ``<display_id>_<label>`` where images differ in size or ``--display_ncols`` is 0. A server that dies ends this
    logger, not the training.
    """

    slow = True

    def __init__(self, options: DisplayOptions) -> None:
        self.options = options
        self.server: OwnServer | None = None
        self._client: Any = None
        self._opened: set[str] = set()
        self._ending = threading.Event()

    def start(self, info: RunInfo) -> None:
        """Connect, starting a server first where none runs on loopback; LoggerUnavailable where neither works."""
        self._info = info
        self._history: LossHistory | None = LossHistory(info.run_dir / "losses.jsonl")
        self._history.update()
        if not _is_installed():
            raise LoggerUnavailable(INSTALL)
        host, port = self._address()
        if not is_listening(host, port):
            self._start_server(host, port, info.run_dir)
        else:
            say(f"visdom: sending losses and images to the server at {self._url()}:{port}; --display_id 0 stops this")
        self._client = _connect(self._url(), port, self.options.display_env)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Append one point to each line, after the earlier points of a resumed training."""
        if self._history is not None:
            self._draw_history(self._history, position)
            self._history = None
        for name, value in losses.items():
            if math.isfinite(value):
                self._append(name, [self._epochs(position.total_iters)], [value])

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Show the images in place of the former ones."""
        images = {label: _thumbnail(image, self.options.display_winsize) for label, image in visuals.items()}
        prefix, columns = self.options.display_id, self.options.display_ncols
        if columns > 0 and len({image.shape for image in images.values()}) == 1:
            caption = f"epoch {position.epoch}: {', '.join(images)}"
            grid = np.stack(list(images.values()))
            kind = "val_images" if all(label.startswith("val_") for label in images) else "images"
            self._client.images(grid, nrow=columns, win=f"{prefix}_{kind}", opts=self._titled(caption))
            return
        for label, image in images.items():
            self._client.image(image, win=f"{prefix}_{label}", opts=self._titled(f"epoch {position.epoch}: {label}"))

    def ending(self) -> None:
        """Wait no longer for a server that is still starting: its windows would vanish at once."""
        self._ending.set()

    def close(self) -> None:
        """End the server if it is ours."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def _start_server(self, host: str, port: int, folder: pathlib.Path) -> None:
        if host not in _LOOPBACK:
            raise LoggerUnavailable(f"visdom: no server answers at {self._url()}:{port}; start it, or --display_id 0")
        self.server = OwnServer(port, folder / "visdom")
        self.server.wait(needed=lambda: not self._ending.is_set())
        note = "; its page needs scripts that `python -m visdom.server` fetches once" if page_scripts_missing() else ""
        say(f"visdom: live windows at http://localhost:{port} while the training runs{note}")

    def _url(self) -> str:
        server = self.options.display_server
        return server if "://" in server else f"http://{server}"

    def _address(self) -> tuple[str, int]:
        return urlparse(self._url()).hostname or "localhost", self.options.display_port

    def _draw_history(self, history: LossHistory, position: Position) -> None:
        for name, (steps, values) in history.values.items():
            known = [
                (s, v) for s, v in zip(steps, values, strict=True) if s < position.total_iters and math.isfinite(v)
            ]
            kept = known[:: math.ceil(len(known) / _HISTORY_POINTS) or 1]
            if kept:
                self._append(name, [self._epochs(step) for step, _ in kept], [value for _, value in kept])

    def _append(self, name: str, x: list[float], y: list[float]) -> None:
        """Add points to the line ``name``; the first of a group replaces what an earlier run left there."""
        group = loss_group(name)
        window = f"{self.options.display_id}_loss_{group}"
        options = {**self._titled(f"losses: {group}"), "xlabel": "epoch", "showlegend": True}
        update = "append" if group in self._opened else None
        arguments = {"win": window, "name": name, "update": update, "opts": options}
        self._client.line(Y=np.array(y), X=np.array(x), **arguments)
        self._opened.add(group)

    def _epochs(self, images: int) -> float:
        return images / max(1, self._info.images_per_epoch)

    def _titled(self, caption: str) -> dict[str, Any]:
        return {"title": f"{self._info.name} {caption}"}


def loss_group(name: str) -> str:
    """Return the window of a loss: ``G`` for G_GAN and G_L1, ``cycle`` for cycle_A and cycle_B.

    Each metric of the val split has its own, since their scales differ: ``val_psnr`` for val_psnr and val_psnr_ema.
    """
    return "_".join(name.split("_")[: 2 if name.startswith("val_") else 1])


def _is_installed() -> bool:
    try:
        import visdom  # noqa: F401
    except ImportError:
        return False
    return True


def _connect(url: str, port: int, environment: str) -> Any:
    """Return a client that raises and never waits longer than a few seconds for an answer."""
    import requests
    import visdom

    class Client(visdom.Visdom):
        def _handle_post(self, url: str, data: Any = None) -> str:
            try:
                answer = session.post(url, data=data or {}, timeout=_TIMEOUT_SECONDS)
                answer.raise_for_status()
            except requests.RequestException as error:  # of which visdom would print some and go on
                raise LoggerUnavailable(f"visdom: {address} {problem} ({type(error).__name__})") from None
            return answer.text

    address, problem = f"{url}:{port}", "does not answer as a visdom server; choose another --display_port"
    session = requests.Session()
    session.trust_env = urlparse(url).hostname not in _LOOPBACK  # a proxy cannot reach our loopback
    logging.getLogger("visdom").setLevel(logging.CRITICAL)
    client = Client(server=url, port=port, env=environment, raise_exceptions=True, use_incoming_socket=False)
    problem = "no longer answers; training goes on without it"
    return client


def _thumbnail(image: np.ndarray, width: int) -> np.ndarray:
    """Return (3,H,W) uint8, at most twice ``width`` wide and high."""
    picture = Image.fromarray(image.squeeze(-1) if image.ndim == 3 and image.shape[-1] == 1 else image).convert("RGB")
    picture.thumbnail((2 * width, 2 * width))
    return np.asarray(picture).transpose(2, 0, 1)
