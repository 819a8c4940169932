"""Write one run in any format and arithmetic, and open what was written."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram

from inference.export import onnx_file, quantize, torch_file
from inference.export.measure import Runner
from inference.export.portable import Description, PortableModel
from inference.export.trace import trace
from inference.predictor import Predictor
from util.errors import UserError

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}
_TYPES = {"fp32": torch.float32, "fp16": torch.float16}
_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "safetensors": ("safetensors",)}


def check_packages(formats: Iterable[str]) -> None:
    """UserError with the command that installs what one of the formats needs and this Python lacks."""
    for name in formats:
        missing = [package for package in _PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]
        if missing:
            raise UserError(f"--format {name} needs {', '.join(missing)}: pip install -r requirements-export.txt")


class Writer:
    """Writes the files of one generator into a folder.

    Args:
        predictor: the run, on the CPU, in fp32.
        description: what the files say of themselves.
        folder: where the files go.
        stem: how their names begin.
        opset: version of the ONNX operators.
    """

    def __init__(
        self, predictor: Predictor, description: Description, folder: pathlib.Path, stem: str, opset: int
    ) -> None:
        self.predictor, self.folder, self.stem, self.opset = predictor, folder, stem, opset
        self._description = description
        self._programs: dict[str, ExportedProgram] = {}

    def path(self, form: str, dtype: str) -> pathlib.Path:
        """Return the file of a format; fp32 goes without saying."""
        return self.folder / f"{self.stem}{'' if dtype == 'fp32' else f'_{dtype}'}{SUFFIXES[form]}"

    def write(self, form: str, dtype: str, calibration: Sequence[Tensor] = ()) -> pathlib.Path:
        """Write one file and return its path.

        Args:
            form: onnx, torch_export or safetensors.
            dtype: fp32, fp16 or, of onnx, int8.
            calibration: (1,C,H,W) in [0,1], for int8.
        """
        path, described = self.path(form, dtype), dataclasses.replace(self._description, dtype=dtype)
        if form == "safetensors":
            torch_file.write_weights(self.predictor, path, described, _TYPES[dtype])
        elif dtype == "int8":
            source = self.path("onnx", "fp32")
            if not source.exists():
                self.write("onnx", "fp32")
            quantize.write_int8(source, path, calibration, described.metadata())
        elif form == "onnx":
            onnx_file.write_onnx(self._program(dtype), path, described, self.opset)
        else:
            torch_file.write_program(self._program(dtype), path, described)
        return path

    def _program(self, dtype: str) -> ExportedProgram:
        if dtype not in self._programs:
            model = PortableModel(self.predictor, _TYPES[dtype])
            self._programs[dtype] = trace(model, self._description.input_nc)
        return self._programs[dtype]

    def open(self, form: str, path: pathlib.Path) -> Runner:
        """Return a written file as a function of images in [0,1]."""
        if form == "safetensors":
            return torch_file.open_weights(path, self.predictor)
        return onnx_file.open_onnx(path) if form == "onnx" else torch_file.open_program(path)
