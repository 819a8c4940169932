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

from benchmarks.faults.arena import Arena, Setup
from benchmarks.faults.injections import FAULTS, Fault, Missed

PIX2PIX = "--model pix2pix --no_dropout false --pool_size 2"
CYCLE_GAN = "--model cycle_gan --pool_size 3 --no_dropout true"
REPEATS = f"{CYCLE_GAN} --d_steps 2"
VALIDATED = f"{PIX2PIX} --ema_decay 0.9 --val_freq 1"
SETUPS = tuple(
    Setup(f"{name}, {workers} workers, a save every {save} images", f"{flags} --num_threads {workers}", save)
    for name, flags, workers, save in (
        *(("pix2pix with dropout", PIX2PIX, 0, 1), ("pix2pix with dropout", PIX2PIX, 2, 5)),
        *(("CycleGAN with full pools", CYCLE_GAN, 0, 5), ("CycleGAN with full pools", CYCLE_GAN, 2, 1)),
        *(("pix2pix, validated and averaged", VALIDATED, 0, 1), ("pix2pix, validated and averaged", VALIDATED, 2, 5)),
        *(("CycleGAN, two D steps per G step", REPEATS, 0, 1), ("CycleGAN, two D steps per G step", REPEATS, 2, 5)),
    )
)
TOGETHER = "--batch_size 2 --n_epochs 3 --num_threads 0"  # as many steps as the others, shared by two processes
RANK_SETUPS = (
    Setup("pix2pix with batch norm, on 2 processes", f"{PIX2PIX} --norm batch {TOGETHER}", 2, ranks=2),
    Setup("CycleGAN with full pools, on 2 processes", f"{CYCLE_GAN} {TOGETHER}", 6, ranks=2),
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

    def __add__(self, other: Count) -> Count:
        """Return the counts of both."""
        lost, failures = self.lost + other.lost, self.failures + other.failures
        return Count(
            self.title, self.absent, lost, self.in_a_save + other.in_a_save, self.failed + other.failed, failures
        )

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


Reference = tuple[Arena, float]
"""A finished training, and the seconds it took."""


def undisturbed(root: pathlib.Path, setup: Setup, number: int) -> Reference:
    """Train one of the setups to its end."""
    arena = Arena(root, setup, f"reference{number}", root / "runs")
    began = time.monotonic()
    training = arena.start()
    if training.wait() != 0:
        raise RuntimeError(f"{arena.setup.name} fails undisturbed: {training.said()}")
    return arena, time.monotonic() - began


class Bench:
    """Disturbs trainings and compares them with undisturbed ones.

    Args:
        root: holds the data, and takes the runs.
        references: undisturbed trainings of all setups.
        seed: of the instants at which faults come.
        first: number of the first try; benches that work side by side need ranges of their own.
    """

    def __init__(self, root: pathlib.Path, references: Sequence[Reference], seed: int, first: int = 0) -> None:
        self.root, self.references, self.first = root, references, first
        self.chance = random.Random(f"{seed} {first}")

    def count(self, name: str, tries: int) -> Count:
        """Inject one fault until ``tries`` of them count, over all setups in turn."""
        fault = FAULTS[name]
        count = Count(fault.title, fault.absent())
        if count.absent:
            return count
        chosen = [reference for reference in self.references if fault.concerns(reference[0].setup)]
        runs = self.root / (f"disk{self.first}" if fault.small_disk else "runs")
        with _small_disk(runs) if fault.small_disk else contextlib.nullcontext():
            for number in range(self.first, self.first + 3 * tries):
                most = min(fault.repeats, tries - count.tries)
                if most > 0:
                    reference, seconds = chosen[number % len(chosen)]
                    arena = Arena(self.root, reference.setup, f"{name}{number}", runs)
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
            lost = fault.inject(arena, self.chance, seconds)
        except AssertionError:
            count.lost.append(arena.steps_made() - arena.steps_saved())
            raise
        count.lost.append(arena.steps_made() - arena.steps_saved() if lost is None else lost)
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
