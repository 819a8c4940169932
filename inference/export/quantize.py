"""Whole-number arithmetic for ONNX files, calibrated on images."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from inference.export.onnx_file import INPUT


def write_int8(source: pathlib.Path, path: pathlib.Path, images: Iterable[Tensor], metadata: dict[str, str]) -> None:
    """Quantize the convolutions of a float32 ONNX file by onnxruntime's static quantization.

    Norms, additions and products stay in float32: quantized, they cost an instance-norm network tens of decibels.
    So do the first and the last layer, which see and make the image itself, and transposed convolutions, which the
    CPU runtime cannot compute in whole numbers.

    Args:
        source: the float32 file.
        path: the file to write.
        images: (1,C,H,W) in [0,1] to take the ranges of all feature maps from.
        metadata: the new file's description.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _quiet():
        quantize_static(
            source,
            path,
            _reader(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=outer_layers(onnx.load(source)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata)
    path.write_bytes(proto.SerializeToString())


def outer_layers(proto: Any) -> list[str]:
    """Return the names of the first and the last convolution of an ONNX model, transposed ones counted in."""
    layers = [node.name for node in proto.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    return [layers[0], layers[-1]] if layers else []


def _reader(images: Iterable[Tensor]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {INPUT: image.numpy()}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the advice to preprocess: the exporter has done that already."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
