"""One network as an ONNX file, for other libraries to run: any size that the network itself takes."""

from __future__ import annotations

import copy
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.export.onnx_file import write_onnx
from inference.export.portable import Description, padded, replace_norms
from inference.export.quantize import write_int8
from inference.export.trace import trace
from models.networks.mirrored import crop_to
from util.errors import UserError

_OPSET = 18


class AnySize(nn.Module):
    """A network for which every size fits: mirrored beyond its borders and cropped, in operations that ONNX has.

    The Predictor pads before, so nothing is added; but the exporter has to know that sizes divide as they must.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if reason := getattr(network, "not_exportable", ""):
            raise UserError(f"--backend: {type(network).__name__} runs in torch only: {reason}")
        self.network = copy.deepcopy(network).cpu().float().requires_grad_(False)
        replace_norms(self)
        self.eval()
        self.size_multiple, self.scale = getattr(network, "size_multiple", 1), getattr(network, "scale", 1)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        result = self.network(padded(image, self.size_multiple))
        return crop_to(result, height * self.scale, width * self.scale)


def write_graph(network: AnySize, channels: int, path: pathlib.Path, calibration: Sequence[Tensor] | None) -> None:
    """Write a network of ``channels`` inputs.

    Args:
        calibration: images as the network gets them, to write it in int8; None: fp32.
    """
    multiple, scale = network.size_multiple, network.scale
    facts = Description("an engine", channels, channels, "-1 1", "-1 1", scale, multiple, "none")
    plain = path if calibration is None else path.with_name("fp32.onnx")
    write_onnx(trace(network, channels), plain, facts, _OPSET)  # type: ignore[arg-type]
    if calibration is not None:
        write_int8(plain, path, calibration, facts.metadata())


def open_onnxruntime(path: pathlib.Path) -> Callable[[Tensor], Tensor]:
    """Return an ONNX file as a function, computed by onnxruntime."""
    from inference.export.onnx_file import open_onnx

    return open_onnx(path)


def open_openvino(path: pathlib.Path, precision: str) -> Callable[[Tensor], Tensor]:
    """Return an ONNX file as a function, computed by OpenVINO.

    Args:
        precision: of what is not int8: fp32, bf16 or fp16, as the processor has units for.
    """
    import openvino

    core = openvino.Core()
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[precision]}
    settings |= {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def run(images: Tensor) -> Tensor:
        found = request.infer({0: images.contiguous().numpy()})
        return torch.from_numpy(next(iter(found.values())).copy())

    return run
