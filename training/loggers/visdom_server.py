"""A visdom server of our own on loopback, for as long as the training lives.

It runs in a child process that ends when the pipe from its parent closes, so it never outlives the training,
not even one that was killed. visdom's own command would first fetch scripts from the network and die without it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.abc
import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from training.loggers.base import LoggerUnavailable

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_START_SECONDS = 60.0


def is_listening(host: str, port: int, seconds: float = 1.0) -> bool:
    """Return whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError:
        return False
    return True


class OwnServer:
    """A child process that serves visdom on 127.0.0.1.

    Args:
        port: to listen on.
        folder: where visdom keeps its environments.
    """

    def __init__(self, port: int, folder: pathlib.Path) -> None:
        self.port = port
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.loggers.visdom_server", str(port), str(folder.resolve())],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=os.name == "posix",  # Ctrl-C reaches the training only, which then ends the child
        )
        atexit.register(self.stop)

    def wait(self, seconds: float = _START_SECONDS, needed: Callable[[], bool] = lambda: True) -> None:
        """Return when the server listens; LoggerUnavailable if not within ``seconds`` and as long as it is needed."""
        deadline = time.monotonic() + seconds
        while not is_listening("127.0.0.1", self.port):
            if not needed():
                self.stop()
                raise LoggerUnavailable("visdom: the training ended before the server for its windows had started")
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise LoggerUnavailable(f"visdom: its server did not start on port {self.port} ({self._last_words()})")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the child, first by request."""
        atexit.unregister(self.stop)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(2)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"


def page_scripts_missing() -> bool:
    """Return whether visdom never fetched the scripts that its page needs in a browser."""
    spec = importlib.util.find_spec("visdom")
    if spec is None or spec.origin is None:
        return True
    return not (pathlib.Path(spec.origin).parent / "static" / "js" / "react-react.min.js").exists()


def _end_with_parent() -> None:
    """Wait for the end of stdin, past sys.stdin: its lock, held here, would make an abort of any error at the start."""
    while os.read(0, 1):
        pass
    os._exit(0)


class _WithoutTorch(importlib.abc.MetaPathFinder):
    """Let ``import torch`` fail as if it were not installed: visdom can do without, 0.5 GB and seconds less.

    None in ``sys.modules`` would not do: scipy takes what it finds there for the module.
    """

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def _let_the_page_open() -> None:
    """Leave file versions out of visdom's page: it links to ../user/style.css, and tornado 6.6 refuses to look there.

    The page would be answered with 403. Which files are served is checked as before.
    """
    from tornado.web import StaticFileHandler
    from visdom.server.app import tornado_settings

    class UnversionedFiles(StaticFileHandler):
        @classmethod
        def get_version(cls, settings: dict[str, Any], path: str) -> str | None:
            return None

    tornado_settings["static_handler_class"] = UnversionedFiles


def _serve(port: int, folder: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.meta_path.insert(0, _WithoutTorch())
    from visdom.server.run_server import start_server

    _let_the_page_open()
    start_server(port=port, hostname="127.0.0.1", base_url="", env_path=os.path.join(folder, ""), bind_local=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
