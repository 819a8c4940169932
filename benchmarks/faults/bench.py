"""Try each fault many times, and count."""

from __future__ import annotations

import contextlib
import pathlib
import random
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.arena import Arena, Setup, write_data
from benchmarks.faults.injections import FAULTS, Fault, Missed

PIX2PIX = "--model pix2pix --no_dropout false --pool_size 2"
CYCLE_GAN = "--model cycle_gan --pool_size 3 --no_dropout true"
REPEATS = f"{CYCLE_GAN} --d_steps 2"
SETUPS = tuple(
    Setup(f"{name}, {workers} workers, a save every {save} images", f"{flags} --num_threads {workers}", save)
    for name, flags, workers, save in (
        *(("pix2pix with dropout", PIX2PIX, 0, 1), ("pix2pix with dropout", PIX2PIX, 2, 5)),
        *(("CycleGAN with full pools", CYCLE_GAN, 0, 5), ("CycleGAN with full pools", CYCLE_GAN, 2, 1)),
        *(("CycleGAN, two D steps per G step", REPEATS, 0, 1), ("CycleGAN, two D steps per G step", REPEATS, 2, 5)),
    )
)


@dataclass
class Count:
    """What came of all tries of one fault."""

    title: str
    absent: str = ""
    lost: list[int] = field(default_factory=list)
    in_a_save: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """Return how many faults were injected."""
        return len(self.lost)

    def row(self) -> str:
        """Return fault, tries, survived and work lost as a row of a Markdown table."""
        if self.absent:
            return f"| {self.title} | 0 | | not tried: {self.absent} |"
        lost = f"{statistics.mean(self.lost):.1f} on average, {max(self.lost)} at most" if self.lost else ""
        inside = f" ({self.in_a_save} inside a save)" if self.in_a_save else ""
        return f"| {self.title} | {self.tries}{inside} | {self.tries - self.failed} | {lost} |"


class Bench:
    """Undisturbed trainings, and disturbed ones to compare with them.

    Args:
        root: an empty folder.
        setups: the trainings.
        seed: of the instants at which faults come.
    """

    def __init__(self, root: pathlib.Path, setups: Sequence[Setup], seed: int) -> None:
        self.root, self.setups, self.chance = root, setups, random.Random(seed)
        write_data(root)
        self.references = [self._undisturbed(number, setup) for number, setup in enumerate(setups)]

    def _undisturbed(self, number: int, setup: Setup) -> tuple[Arena, float]:
        """Return a finished run and the seconds it took."""
        arena = Arena(self.root, setup, f"reference{number}", self.root / "runs")
        began = time.monotonic()
        training = arena.start()
        if training.wait() != 0:
            raise RuntimeError(f"{setup.name} fails undisturbed: {training.said()}")
        return arena, time.monotonic() - began

    def count(self, name: str, tries: int) -> Count:
        """Inject one fault until ``tries`` of them count, over all setups in turn."""
        fault = FAULTS[name]
        count = Count(fault.title, fault.absent())
        if count.absent:
            return count
        chosen = [pair for pair in zip(self.setups, self.references, strict=True) if fault.setups in pair[0].name]
        runs = self.root / ("disk" if fault.small_disk else "runs")
        with _small_disk(runs) if fault.small_disk else contextlib.nullcontext():
            for number in range(3 * tries):
                most = min(fault.repeats, tries - count.tries)
                if most > 0:
                    setup, (reference, seconds) = chosen[number % len(chosen)]
                    arena = Arena(self.root, setup, f"{name}{number}", runs)
                    self._try(fault, most, arena, reference, seconds, count)
        return count

    def _try(self, fault: Fault, most: int, arena: Arena, reference: Arena, seconds: float, count: Count) -> None:
        """Inject up to ``most`` faults one after the other; go on to the end and compare."""
        before = count.tries
        try:
            with contextlib.suppress(Missed):
                for _ in range(most):
                    self._inject(fault, arena, seconds, count)
            if count.tries > before:
                _finish(arena, reference if fault.alike else None)
        except AssertionError as error:
            count.failed += count.tries - before
            count.failures.append(f"{count.title}; {arena.setup.name}: {error}")
        finally:
            arena.remove()

    def _inject(self, fault: Fault, arena: Arena, seconds: float, count: Count) -> None:
        try:
            fault.inject(arena, self.chance, seconds)
        except AssertionError:
            count.lost.append(arena.steps_made() - arena.steps_saved())
            raise
        count.lost.append(arena.steps_made() - arena.steps_saved())
        count.in_a_save += fault.any_instant and arena.stopped_in_a_save()


def _finish(arena: Arena, reference: Arena | None) -> None:
    """Go on to the end, which must be that of the reference, or else finite."""
    training = arena.start()
    code = training.wait()
    assert code == 0, f"going on ended with {code}: {training.said()[-400:]}"
    assert arena.is_finite(), "weights are not finite"
    wrong = arena.differences(reference) if reference else []
    assert not wrong, f"differs from an undisturbed run: {', '.join(wrong)}"


@contextlib.contextmanager
def _small_disk(folder: pathlib.Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
