"""Processes that load batches: they leave signals to the trainer, and are started again when one of them is killed."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader

from util.errors import UserError

T = TypeVar("T")
_DEATHS = 3  # in a row, without a batch in between, are borne


class Workers(Generic[T]):
    """A loader with processes of its own, which live on from one pass to the next.

    Args:
        make: returns the loader; it is called again when one of its processes has died.
    """

    def __init__(self, make: Callable[[], DataLoader[T]]) -> None:
        self._make, self._loader = make, make()

    def batches(self, seek: Callable[[int], None]) -> Iterator[T]:
        """Yield the batches of one pass, the same whether or not a process is killed on the way.

        Args:
            seek: lets the loader's sampler begin after so many batches of this pass.

        Raises:
            UserError: processes died several times in a row.
        """
        done = deaths = 0
        codes: list[int] = []
        iterator: Iterator[T] | None = None
        while True:
            try:
                if iterator is None:
                    seek(done)
                    iterator = _begin(self._loader)
                batch = next(iterator)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError):  # the latter two while a batch is handed over
                codes = self._dead()
                if not codes:
                    raise
            else:
                done, deaths = done + 1, 0
                yield batch
                continue
            deaths += 1
            _tell(codes[0], deaths)
            iterator, self._loader = None, self._make()  # not in the handler, whose traceback holds the processes

    def _dead(self) -> list[int]:
        """Return the exit codes of the processes that have died."""
        processes = getattr(self._loader._iterator, "_workers", [])
        ended = multiprocessing.connection.wait([process.sentinel for process in processes], timeout=1)
        for process in processes:
            if process.sentinel in ended:
                process.join(1)
        return [process.exitcode for process in processes if process.exitcode is not None]


def _begin(loader: DataLoader[T]) -> Iterator[T]:
    """Return an iterator over the loader, without torch's handler of dead processes.

    That raises wherever the main process happens to be, in the middle of a step or a save. Without it a death is
    noticed within 5 seconds, when the next batch is waited for.
    """
    iterator = iter(loader)
    number: Any = getattr(signal, "SIGCHLD", None)  # POSIX only
    if number and "torch" in str(getattr(signal.getsignal(number), "__module__", "")):
        signal.signal(number, signal.SIG_DFL)
    return iterator


def _tell(code: int, deaths: int) -> None:
    """Say that a process has died; UserError when that does not end."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if deaths > _DEATHS:
        raise UserError(
            f"processes that load images were killed {deaths} times in a row ({how}), maybe for lack of memory: go on "
            "with --continue_train, and a smaller --num_threads"
        )
    print(
        f"note: a process that loads images was killed ({how}), maybe for lack of memory; started again, nothing lost",
        file=sys.stderr,
    )


def leave_stopping_to_the_trainer(_worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM, which terminals and job schedulers send to workers too.

    Only the main process, which saves first, shall answer them. Its own SIGTERM, which is how torch ends a worker
    that hangs, still ends this one; and so does, within 5 seconds, the end of the main process, by torch's watchdog.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on Windows, which has no process groups, nor on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_told_by, args=(os.getppid(),), daemon=True).start()


def _end_when_told_by(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)  # at once, as torch does: the main thread may hang
