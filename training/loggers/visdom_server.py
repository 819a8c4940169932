"""A visdom server of our own on loopback, for as long as the training lives.

It runs in a child process that ends when the pipe from its parent closes, so it never outlives the training,
not even one that was killed. visdom's own command would first fetch scripts from the network and die without it.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
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

    def wait(self, seconds: float = _START_SECONDS) -> None:
        """Return when the server listens; LoggerUnavailable when it does not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while not is_listening("127.0.0.1", self.port):
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
    sys.stdin.buffer.read()
    os._exit(0)


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
    sys.modules["torch"] = None  # type: ignore[assignment]  # visdom can do without: 0.5 GB and seconds less
    from visdom.server.run_server import start_server

    _let_the_page_open()
    start_server(port=port, hostname="127.0.0.1", base_url="", env_path=os.path.join(folder, ""), bind_local=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
