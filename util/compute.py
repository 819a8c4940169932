"""Flags of the arithmetic; no torch here, so that --help stays fast."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option


@dataclass(frozen=True)
class ComputeOptions:
    """In which arithmetic, memory layout and form the networks run."""

    precision: str = option(
        "auto",
        "arithmetic of the networks; weights stay fp32. bf16 and fp16 are faster where the machine has units for them; "
        "auto: bf16 where it has, else fp32",
        choices=("auto", "fp32", "tf32", "bf16", "fp16"),
    )
    channels_last: bool | None = option(
        None, "keep the channels of a pixel together in memory; none: as is fastest here", "session"
    )
    compile: str = option(
        "off",
        "translate forwards and losses into machine code first: a minute or more at the start, some speed after",
        "session",
        choices=("off", "default", "max"),
    )
