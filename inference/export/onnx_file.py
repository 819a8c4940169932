"""ONNX files and their runtime."""

from __future__ import annotations

import pathlib
from typing import Any

import torch
from torch.export import ExportedProgram

from inference.export.measure import Runner
from inference.export.portable import Description
from util.errors import UserError

INPUT, OUTPUT = "image", "translated"
_DIMENSIONS = ("batch", "", "height", "width")


def write_onnx(program: ExportedProgram, path: pathlib.Path, description: Description, opset: int) -> None:
    """Save a program as one checked ONNX file with its description as metadata.

    Raises:
        UserError: the network uses an operation that ONNX does not have.
    """
    import onnx

    try:
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=opset,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"--format onnx: {str(error).strip().splitlines()[0]}; try --format torch_export") from error
    assert exported is not None
    proto = exported.model_proto
    _tidy(proto.graph, description.scale)
    onnx.helper.set_model_props(proto, description.metadata())
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())


def _tidy(graph: Any, scale: int) -> None:
    """Give sizes their names, and drop the exporter's notes, which hold paths of this machine."""
    names = [name if scale == 1 or name in ("", "batch") else f"{scale}*{name}" for name in _DIMENSIONS]
    for value, sizes in ((graph.input[0], _DIMENSIONS), (graph.output[0], names)):
        del value.metadata_props[:]
        for dimension, name in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
            if name:
                dimension.dim_param = name
    del graph.value_info[:]
    for part in (graph, *graph.node):
        del part.metadata_props[:]


def open_onnx(path: pathlib.Path) -> Runner:
    """Return an ONNX file as a function of images in [0,1], on as many threads as torch uses."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])
