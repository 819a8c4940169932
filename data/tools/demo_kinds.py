"""What all kinds of ``prepare.py demo`` share: how many images each phase has, and random numbers of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

PHASES = ("train", "val", "test")


@dataclass(frozen=True)
class DemoKind:
    """How large a data set is: ``count`` scenes for training, a twelfth of it for val, a sixth for test."""

    count: int = 240
    size: int = 256
    seed: int = 0

    def counts(self) -> dict[str, int]:
        """Return the number of scenes of each phase."""
        return dict(zip(PHASES, (self.count, max(1, self.count // 12), max(1, self.count // 6)), strict=True))

    def each(self, write: Callable[[str, int], None]) -> None:
        """Call ``write(phase, number)`` for every scene, several at once: disks are slow to confirm small files."""
        items = [(phase, number) for phase, count in self.counts().items() for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: write(*item), items))

    def generator(self, phase: str, number: int, *stream: int) -> np.random.Generator:
        """Return random numbers that depend on the seed, the phase and the number alone."""
        return np.random.Generator(np.random.PCG64([self.seed, PHASES.index(phase), number, *stream]))
