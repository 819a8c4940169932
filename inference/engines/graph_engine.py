"""A network computed by OpenVINO or onnxruntime."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from inference.engines.choice import HALVES, Choice
from util.errors import UserError

_PACKAGES = {
    "openvino": ("openvino", "onnx", "onnxscript", "onnxruntime"),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
}


def check_backend(choice: Choice, device: torch.device) -> None:
    """UserError when another library than torch cannot be used: missing, or for this device or precision."""
    missing = [name for name in _PACKAGES.get(choice.backend, ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--backend {choice.backend} needs {', '.join(missing)}: pip install -r requirements-fast.txt")
    if choice.backend != "torch" and device.type != "cpu":
        raise UserError(f"--backend {choice.backend} computes on the CPU: add --gpu_ids -1, or leave it out")
    if choice.backend == "onnxruntime" and choice.precision in ("bf16", "fp16"):
        raise UserError(f"--backend onnxruntime has no {choice.precision} on CPUs: use --backend openvino or torch")
    if choice.backend == "torch" and choice.precision == "fp16" and device.type == "cpu":
        raise UserError("--precision fp16 needs a GPU: torch crawls in it on CPUs; use bf16, fp32 or auto")
    if choice.backend == "torch" and choice.precision == "int8":
        raise UserError("--precision int8 needs --backend openvino, or onnxruntime")
    if choice.backend != "torch" and choice.compile != "off":
        raise UserError(f"--compile {choice.compile} is for --backend torch; {choice.backend} compiles by itself")
    if choice.backend == "openvino" and choice.precision in HALVES:
        _check_units(choice.precision)


def _check_units(precision: str) -> None:
    import openvino

    if precision.upper() not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UserError(f"--precision {precision}: OpenVINO finds no units for it in this processor; use fp32 or auto")


class GraphEngine:
    """(N,C,H,W) float32 -> the same as the network gives, float32; the first call writes and opens the graph.

    Args:
        network: in inference mode, as it is now.
        calibration: for int8, images as the network gets them.
        rest: the arithmetic of what int8 leaves out.
    """

    def __init__(
        self, network: nn.Module, choice: Choice, calibration: Sequence[Tensor] | None = None, rest: str = "fp32"
    ) -> None:
        from inference.engines.graph import AnySize

        self.choice, self.calibration, self.rest = choice, calibration, rest
        self._network, self._run = AnySize(network), None  # type: AnySize, Callable[[Tensor], Tensor] | None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's output."""
        if self._run is None:
            self._run = self._open(images.shape[1])
        with torch.autocast("cpu", enabled=False):
            return self._run(images.float())

    def _open(self, channels: int) -> Callable[[Tensor], Tensor]:
        from inference.engines import graph

        began = time.perf_counter()
        int8 = self.choice.precision == "int8"
        with tempfile.TemporaryDirectory(prefix="a2b-") as folder:
            path = pathlib.Path(folder) / "network.onnx"
            with torch.autocast("cpu", enabled=False):
                graph.write_graph(self._network, channels, path, self.calibration if int8 else None)
            if self.choice.backend == "onnxruntime":
                run = graph.open_onnxruntime(path)
            else:
                run = graph.open_openvino(path, self.rest if int8 else self.choice.precision)
        print(f"{self.choice.backend}: made ready in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        return run
