"""The faults: each disturbs one training, and asserts how it must end."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

from benchmarks.faults.arena import IMAGES, Arena, Setup
from benchmarks.faults.planted import nan_in_step, no_memory_in_step
from benchmarks.faults.process import Training
from training.checkpoint import FILE, PREVIOUS

Inject = Callable[[Arena, random.Random, float], int | None]
LAST = 2 * IMAGES - 3  # a fault comes before this step, so that there is something to go on with
# Faults in a step are planted in odd ones, counted from 0: with two D steps per G step, G learns in those.


class Missed(Exception):
    """The training was over before the fault came; the try does not count."""


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Args:
        title: for the table.
        inject: start the training (which takes about the given seconds undisturbed), disturb it, wait for its end;
            AssertionError when it ends otherwise than it must. Returns the steps lost where the training itself went
            on; None where that is what the logs have and the state has not.
        setups: a part of the names of the trainings it is tried on; empty for all.
        ranks: processes of the trainings it is tried on.
        repeats: how often it is injected into one training, at most.
        any_instant: whether it may come inside a save, which is then counted.
        small_disk: whether the run lies on a file system of 16 MB of its own.
        alike: whether the end must be that of an undisturbed training, bit for bit, or else only finite.
        absent: a function that says why it cannot be tried here, or returns an empty string.
    """

    title: str
    inject: Inject
    setups: str = ""
    ranks: int = 1
    repeats: int = 1
    any_instant: bool = False
    small_disk: bool = False
    alike: bool = True
    absent: Callable[[], str] = str

    def concerns(self, setup: Setup) -> bool:
        """Return whether it is tried on such trainings."""
        return self.setups in setup.name and self.ranks == setup.ranks


def _kill(arena: Arena, chance: random.Random, seconds: float) -> None:
    if not arena.start().kill_after(chance.uniform(0, seconds)):
        raise Missed


def _at_random_step(arena: Arena, chance: random.Random, *more: str, least: int = 1) -> Training:
    training = arena.start(*more)
    if not arena.wait_for_step(chance.randint(least, LAST), training):
        raise Missed
    return training


def _ends(training: Training, code: int, reason: str = "") -> None:
    """Wait for the end: the exit code, no traceback, and one line with the reason when it is an error."""
    found, said = training.wait(), training.said()
    if found == 0 != code:
        raise Missed
    assert found == code and "Traceback" not in said, f"exit code {found}: {said[-400:]}"
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == (1 if code == 2 else 0) and all(reason in line for line in errors), said[-400:]


def _stop(number: int) -> Inject:
    """Ask to stop: what was done is saved first."""

    def inject(arena: Arena, chance: random.Random, _seconds: float) -> None:
        training = _at_random_step(arena, chance)
        training.send(number)
        _ends(training, 128 + number)
        assert arena.steps_saved() == arena.steps_made(), "a stop request saves first"

    return inject


def _twice(arena: Arena, chance: random.Random, _seconds: float) -> None:
    training = _at_random_step(arena, chance)
    training.send(signal.SIGINT)
    time.sleep(chance.uniform(0.001, 0.02))
    training.send(signal.SIGINT)
    began = time.monotonic()
    _ends(training, 130)
    assert time.monotonic() - began < 10, "a second Ctrl-C leaves at once"


def _file_limit(arena: Arena, chance: random.Random, _seconds: float) -> None:
    """Let no file grow beyond a part of the state file: the write fails in its middle."""
    import resource

    training = _at_random_step(arena, chance)
    limit = chance.randrange(20_000, 400_000)
    resource.prlimit(training.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    _ends(training, 2, "cannot be saved")


def _full_disk(arena: Arena, chance: random.Random, _seconds: float) -> None:
    training = _at_random_step(arena, chance)
    ballast = arena.folder.parent / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        _ends(training, 2, "cannot be saved")
    finally:
        ballast.unlink()


def _vanish(arena: Arena, chance: random.Random, _seconds: float) -> None:
    training = _at_random_step(arena, chance, "--no_html", "false")
    away = arena.folder.with_name(f"away_{arena.name}")
    arena.folder.rename(away)
    try:
        _ends(training, 2, "vanished")
        assert not arena.folder.exists(), "the folder was made anew, without what belongs in it"
    finally:
        away.rename(arena.folder)


def _dead_worker(arena: Arena, chance: random.Random, _seconds: float) -> None:
    """Kill a process of the loader, as the system does when memory is short; the training starts another."""
    training = _at_random_step(arena, chance)
    workers = training.children()
    if not workers:
        raise Missed
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(workers), signal.SIGKILL)
    _ends(training, 0)


def _dead_rank(arena: Arena, chance: random.Random, _seconds: float) -> int:
    """Kill one of the processes that train together; torchrun starts all of them again."""
    training = _at_random_step(arena, chance)
    ranks = training.children()
    if not ranks:
        raise Missed
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(ranks), signal.SIGKILL)
    lost = arena.steps_made() - arena.steps_saved()
    code, said = training.wait(), training.said()
    assert code == 0, f"exit code {code}: {said[-400:]}"
    assert said.count("training images in") == 2, "torchrun did not start it again"
    return lost


def _dead_visdom(arena: Arena, chance: random.Random, _seconds: float) -> None:
    """End the server of the live windows while the training sends to it."""
    server = HTTPServer(("127.0.0.1", 0), _Accepting)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    server.server_close()  # here; the process has it open
    where = ["--display_id", "1", "--display_server", "http://127.0.0.1", "--display_port", str(server.server_port)]
    try:
        training = _at_random_step(arena, chance, *where, "--display_freq", "1")
    finally:
        process.kill()
    _ends(training, 0)


class _Accepting(BaseHTTPRequestHandler):
    """Answers every request as a visdom server does."""

    def do_POST(self) -> None:  # noqa: N802 - the name the base class asks for
        """Take the data."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:  # noqa: N802
        """Say that all is well."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _corrupt(arena: Arena, chance: random.Random, _seconds: float) -> None:
    """Kill, then damage the newest state: flip a bit, cut it, or leave zeros, as a power cut does."""
    training = _at_random_step(arena, chance, least=min(LAST, 2 * arena.setup.save_every + 1))
    training.send(signal.SIGKILL)
    training.wait()
    path = arena.folder / FILE
    if not path.exists() or not (arena.folder / PREVIOUS).exists():
        raise Missed
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    damages = (lambda: content[:place], lambda: bytes(len(content)), lambda: _flipped(content, place))
    path.write_bytes(chance.choice(damages)())


def _flipped(content: bytearray, place: int) -> bytearray:
    content[place] ^= 1 << (place % 8)
    return content


def _nan(policy: str, code: int, told: str) -> Inject:
    def inject(arena: Arena, chance: random.Random, _seconds: float) -> None:
        training = arena.start("--on_nan", policy, prepare=nan_in_step(chance.randrange(1, LAST, 2)))
        _ends(training, code, told)
        assert told in training.said(), f"not said: {training.said()[-400:]}"

    return inject


def _no_memory(images: int, code: int, told: str) -> Inject:
    def inject(arena: Arena, chance: random.Random, _seconds: float) -> None:
        plant = no_memory_in_step(chance.randrange(1, LAST // images, 2), images - 1)
        training = arena.start("--batch_size", str(images), prepare=plant)
        _ends(training, code, told)
        assert told in training.said(), f"not said: {training.said()[-400:]}"

    return inject


def _no_visdom() -> str:
    return "" if importlib.util.find_spec("visdom") else "visdom is not installed"


def _no_mount() -> str:
    return "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "mounting a small file system needs root"


FAULTS = {
    "kill": Fault("killed (SIGKILL) at a random instant", _kill, repeats=5, any_instant=True),
    "sigterm": Fault("SIGTERM", _stop(signal.SIGTERM)),
    "ctrl_c": Fault("Ctrl-C", _stop(signal.SIGINT)),
    "ctrl_c_twice": Fault("Ctrl-C twice: leaves at once", _twice),
    "file_limit": Fault("a write that fails in its middle", _file_limit),
    "full_disk": Fault("full disk", _full_disk, small_disk=True, absent=_no_mount),
    "vanished": Fault("the run's folder vanishes, and comes back", _vanish),
    "nan": Fault("a NaN, with --on_nan stop", _nan("stop", 2, "--on_nan stop")),
    "nan_rollback": Fault("a NaN, with --on_nan rollback", _nan("rollback", 0, "is left out"), alike=False),
    "no_memory": Fault("out of memory for one image", _no_memory(1, 2, "memory")),
    "no_memory_halves": Fault("out of memory for two images", _no_memory(2, 0, "memory"), alike=False),
    "dead_worker": Fault("a loader process is killed", _dead_worker, setups="2 workers"),
    "dead_rank": Fault("one of two training processes is killed, under torchrun --max-restarts", _dead_rank, ranks=2),
    "visdom": Fault("the visdom server dies", _dead_visdom, absent=_no_visdom),
    "corrupted": Fault("killed, and the newest checkpoint damaged", _corrupt),
}
