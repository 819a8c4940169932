"""train.py in a process of its own, forked from one that has torch in memory, so that a start costs no import.

On several processes torchrun takes its place, and starts them anew, which costs the import.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pathlib
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PRELOADED = (
    *("torch._dynamo", "commands.training", "training.loggers.html", "training.loggers.console"),
    *("models.pix2pix_model", "models.cycle_gan_model", "models.networks.resnet", "models.networks.patchgan"),
    *("data.aligned_dataset", "data.unaligned_dataset", "PIL.PngImagePlugin"),
)
SECONDS = 300.0  # after which a training counts as hung


def preload() -> None:
    """Import what a training needs; no tensor is computed, since threads would not survive the fork."""
    import torch

    torch.set_num_threads(1)
    for name in PRELOADED:
        importlib.import_module(name)


class Training:
    """A running train.py.

    Args:
        words: its command line.
        output: file that takes what it prints.
        prepare: called in the new process first, to plant a fault there.
        ranks: processes that train together; one is no torchrun.
    """

    def __init__(
        self,
        words: Sequence[str],
        output: pathlib.Path,
        prepare: Callable[[], None] | None = None,
        ranks: int = 1,
    ) -> None:
        context = multiprocessing.get_context("fork")
        self.began, self.output = time.monotonic(), output
        self._process = context.Process(target=_run, args=(list(words), output, prepare, ranks))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._process.exitcode is None

    def send(self, number: int) -> None:
        """Send a signal to the main process alone."""
        if self.running():
            os.kill(self.pid, number)

    def kill_after(self, seconds: float) -> bool:
        """Kill it with SIGKILL so many seconds after its start; return whether it was still running."""
        self._process.join(max(0.0, self.began + seconds - time.monotonic()))
        if not self.running():
            return False
        self.send(signal.SIGKILL)
        return self.wait() == -signal.SIGKILL

    def wait(self, seconds: float = SECONDS) -> int | None:
        """Return the exit code, negative for a signal; None, and the process is killed, when it takes too long."""
        self._process.join(seconds)
        if self.running():
            self._process.kill()
            self._process.join()
            return None
        return self._process.exitcode

    def children(self) -> list[int]:
        """Return the process ids of its loader's workers, or of the ranks that torchrun has started."""
        try:
            text = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def said(self) -> str:
        """Return what it printed so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""


def _run(words: list[str], output: pathlib.Path, prepare: Callable[[], None] | None, ranks: int) -> None:
    os.setsid()
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    if prepare is not None:
        prepare()
    if ranks > 1:
        together = ["--standalone", "--nproc_per_node", str(ranks), "--max-restarts", "1"]
        sys.argv = ["torchrun", *together, str(ROOT / "train.py"), *words]
        runpy.run_module("torch.distributed.run", run_name="__main__")
    else:
        sys.argv = ["train.py", *words]
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
