"""What computes the networks of one predictor, once that is settled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Choice:
    """Arithmetic, library and form.

    Args:
        precision: fp32, bf16, fp16 or int8.
        backend: torch, openvino or onnxruntime.
        compile: off, default or max.
        psnr: of the results against those in fp32 on the first images, in dB; None where it was not measured.
        reason: why it is so, where that is not simply what was asked for.
    """

    precision: str = "fp32"
    backend: str = "torch"
    compile: str = "off"
    psnr: float | None = None
    reason: str = ""

    @property
    def plain(self) -> bool:
        """Whether the networks run as they are."""
        return self.precision == "fp32" and self.backend == "torch" and self.compile == "off"

    @property
    def autocast(self) -> str:
        """Return the arithmetic of what runs layer by layer, outside of any engine."""
        return self.precision if self.backend == "torch" else "fp32"

    def describe(self) -> str:
        """Return what made the images, in a few words."""
        parts = [self.precision]
        if self.psnr is not None:
            parts[0] += " (equal to fp32)" if math.isinf(self.psnr) else f" ({self.psnr:.1f} dB from fp32)"
        if self.backend != "torch":
            parts.append(f"by {self.backend}")
        if self.compile != "off":
            parts.append("compiled")
        return ", ".join(parts)

    def line(self) -> str:
        """Return one line that tells the user what was chosen, and why."""
        return f"computing in {self.describe()}" + (f": {self.reason}" if self.reason else "")
