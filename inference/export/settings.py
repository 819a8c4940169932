"""What export.py writes and when it refuses to; no torch here, so that --help stays fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from util.errors import UserError, did_you_mean
from util.option import option

#: format -> the arithmetic it can hold; few processors have units for PyTorch in fp16, and without them it crawls
FORMATS = {"onnx": ("fp32", "fp16", "int8"), "torch_export": ("fp32",), "safetensors": ("fp32", "fp16")}
DTYPES = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class ExportFileOptions:
    """The figures that decide are PSNR against the run itself in fp32, on images that nothing was calibrated on."""

    format: tuple[str, ...] = option(("onnx",), f"one or several of {', '.join(FORMATS)}, by commas", "session")
    dtype: tuple[str, ...] = option(
        ("fp32",),
        f"arithmetic, one or several of {', '.join(DTYPES)}, by commas; int8 is for onnx, fp16 not for torch_export",
        "session",
    )
    output: str | None = option(None, "folder of the files; none: export/ in the run's folder", "session")
    opset: int = option(18, "version of the ONNX operators", "session", minimum=18, maximum=23)
    dataroot: str | None = option(
        None, "the run's data set, if it has moved: int8 is calibrated on its training split", "session"
    )
    calibration: str | None = option(None, "folder of images to calibrate int8 on, in place of the split", "session")
    test: str | None = option(None, "folder of other images to judge on; none: the data set's test split", "session")
    num_images: int = option(32, "most images to calibrate on, and most to judge on", "session", minimum=1)
    min_psnr: float = option(40.0, "fp16 and int8 files below this PSNR in dB are not kept", "session", minimum=0)


def planned(options: ExportFileOptions) -> list[tuple[str, str]]:
    """Return the (format, dtype) pairs to write, fp32 first.

    Raises:
        UserError: a name is unknown, or no chosen format can hold a chosen dtype.
    """
    _check("--format", options.format, tuple(FORMATS))
    _check("--dtype", options.dtype, DTYPES)
    for dtype in options.dtype:
        if not any(dtype in FORMATS[name] for name in options.format):
            able = ", ".join(name for name, dtypes in FORMATS.items() if dtype in dtypes)
            raise UserError(f"--dtype {dtype} is not for --format {','.join(options.format)}; add --format {able}")
    wanted = [dtype for dtype in DTYPES if dtype in options.dtype]
    return [(name, dtype) for dtype in wanted for name in FORMATS if name in options.format and dtype in FORMATS[name]]


def _check(flag: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"{flag} '{name}' is unknown{did_you_mean(name, known)} (choose from {', '.join(known)})")
