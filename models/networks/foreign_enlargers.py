"""Recognise the networks for super-resolution and restoration by their state-dict keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
Found = tuple[str, dict[str, Any], int, int]
SCALE_UNSEEN = ("fsrcnn", "srcnn")  # their weights fit every enlargement


def recognise_enlarger(state: State) -> Found | None:
    """Return (name, its options' values, input_nc, output_nc), or None; without a scale for those in SCALE_UNSEEN."""
    for recognise in (_rrdb, _edsr, _msrresnet, _nafnet, _rdn, _rdtn, _fsrcnn, _srcnn, _compact):
        if (found := recognise(state)) is not None:
            return found
    return None


def scale_in_name(name: str) -> int | None:
    """Return the enlargement that a file's name tells, such as fsrcnn_x3.pth or 4x_photo.pth; None where none does."""
    found = re.search(r"(?<![a-z0-9])(?:x([12348])|([12348])x)(?![0-9])", name.lower())
    return int(found[1] or found[2]) if found else None


def _count(state: State, pattern: str) -> int:
    """Return how many keys are written as a regular expression says."""
    return sum(1 for key in state if re.fullmatch(pattern, key))


def _all(state: State, *keys: str) -> bool:
    return all(key in state for key in keys)


def _doublings(state: State, layers: Callable[[int], str], width: int) -> int:
    """Return the enlargement by the pixel shuffles that follow ``layers(0)``, ``layers(1)``, ..."""
    scale, number = 1, 0
    while (key := layers(number)) in state:
        scale, number = scale * math.isqrt(len(state[key]) // width), number + 1
    return scale


def _rrdb(state: State) -> Found | None:
    if not _all(state, "conv_first.weight", "body.0.rdb1.conv1.weight", "conv_up2.weight", "conv_last.weight"):
        return None
    first, output_nc = state["conv_first.weight"], len(state["conv_last.weight"])
    shuffle = {4 * output_nc: 2, 16 * output_nc: 4}.get(first.shape[1], 1)
    values = {
        **{"ngf": len(first), "n_blocks": _count(state, r"body\.\d+\.rdb1\.conv1\.weight")},
        **{"growth": len(state["body.0.rdb1.conv1.weight"]), "scale": 4 // shuffle},
    }
    return "rrdb", values, first.shape[1] // shuffle**2, output_nc


def _edsr(state: State) -> Found | None:
    if not _all(state, "conv_first.weight", "body.0.conv1.weight", "conv_after_body.weight", "conv_last.weight"):
        return None
    first = state["conv_first.weight"]
    width, blocks = len(first), _count(state, r"body\.\d+\.conv1\.weight")
    values = {"ngf": width, "n_blocks": blocks}
    values["scale"] = _doublings(state, lambda i: f"upsample.{2 * i}.weight", width)
    large = width >= 256 or blocks >= 32  # whose residuals count a tenth
    return "edsr_large" if large else "edsr", values, first.shape[1], len(state["conv_last.weight"])


def _msrresnet(state: State) -> Found | None:
    if not _all(state, "conv_first.weight", "body.0.conv1.weight", "conv_hr.weight", "conv_last.weight"):
        return None
    first = state["conv_first.weight"]
    values = {"ngf": len(first), "n_blocks": _count(state, r"body\.\d+\.conv1\.weight")}
    values["scale"] = _doublings(state, lambda i: f"upconv{i + 1}.weight", len(first))
    return "msrresnet", values, first.shape[1], len(state["conv_last.weight"])


def _nafnet(state: State) -> Found | None:
    if not _all(state, "intro.weight", "ending.weight", "ups.0.0.weight", "downs.0.weight"):
        return None
    first = state["intro.weight"]
    values: dict[str, Any] = {"ngf": len(first), "naf_middle": _count(state, r"middle_blks\.\d+\.beta")}
    for side in ("encoder", "decoder"):
        counts = [_count(state, rf"{side}s\.{i}\.\d+\.beta") for i in range(_count(state, r"ups\.\d+\.0\.weight"))]
        values[f"naf_{side}"] = tuple(counts)
    return "nafnet", values, first.shape[1], len(state["ending.weight"])


def _dense(state: State, blocks: str) -> dict[str, int]:
    """Return the options of dense blocks whose keys begin as the regular expression says."""
    first = next(value for key, value in state.items() if re.fullmatch(rf"{blocks}\.0\.layers\.0\.conv\.weight", key))
    return {
        **{"ngf": first.shape[1], "growth": len(first), "n_blocks": _count(state, rf"{blocks}\.\d+\.lff\.weight")},
        "n_dense": _count(state, rf"{blocks}\.0\.layers\.\d+\.conv\.weight"),
    }


def _rdn(state: State) -> Found | None:
    if not _all(state, "sfe1.weight", "rdbs.0.layers.0.conv.weight", "gff.1.weight", "output.weight"):
        return None
    values = _dense(state, "rdbs")
    values["scale"] = _doublings(state, lambda i: f"upscale.{2 * i}.weight", values["ngf"])
    return "rdn", values, state["sfe1.weight"].shape[1], len(state["output.weight"])


def _rdtn(state: State) -> Found | None:
    if not _all(state, "head.weight", "body.0.layers.0.conv.weight", "output.weight"):
        return None
    steps = [value.shape[-1] - 2 for key, value in state.items() if re.fullmatch(r"upscale\.\d+\.weight", key)]
    values = _dense(state, "body") | {"scale": math.prod(steps)}
    return "rdtn", values, state["head.weight"].shape[1], len(state["output.weight"])


def _fsrcnn(state: State) -> Found | None:
    if not _all(state, "first_part.0.weight", "mid_part.0.weight", "last_part.weight"):
        return None
    first, shrunk = state["first_part.0.weight"], len(state["mid_part.0.weight"])
    mapping = sum(1 for key, value in state.items() if re.fullmatch(r"mid_part\.\d+\.weight", key) and value.ndim == 4)
    values = {"ngf": len(first), "n_shrunk": shrunk, "n_mapping": mapping - 2}
    return "fsrcnn", values, first.shape[1], state["last_part.weight"].shape[1]


def _srcnn(state: State) -> Found | None:
    keys = {f"conv{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")}
    if set(state) != keys:
        return None
    sizes = "-".join(str(state[f"conv{i}.weight"].shape[-1]) for i in (1, 2, 3))
    first = state["conv1.weight"]
    return "srcnn", {"ngf": len(first), "srcnn_kernels": sizes}, first.shape[1], len(state["conv3.weight"])


def _compact(state: State) -> Found | None:
    convolutions = sorted(
        int(match[1]) for key, value in state.items()
        if (match := re.fullmatch(r"body\.(\d+)\.weight", key)) and value.ndim == 4
    )  # fmt: skip
    slopes = _count(state, r"body\.\d+\.weight") - len(convolutions)
    if len(convolutions) < 2 or convolutions[-1] != 2 * slopes or len(state) != 2 * len(convolutions) + slopes:
        return None
    first, outputs = state["body.0.weight"], len(state[f"body.{convolutions[-1]}.weight"])
    output_nc = next(c for c in (first.shape[1], 3, 1, outputs) if outputs == c * math.isqrt(outputs // c) ** 2)
    values = {"ngf": len(first), "n_convs": len(convolutions) - 2, "scale": math.isqrt(outputs // output_nc)}
    return "compact", values, first.shape[1], output_nc
