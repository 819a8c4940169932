"""Settle in which arithmetic a job is computed, by what it does to the job's own first images."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.engines.choice import Choice
from inference.engines.engines import Engines
from inference.export.measure import compare
from inference.predictor import Predictor
from util.device import fastest_precision
from util.errors import UserError

Batch = Mapping[str, Any]
FLOOR = 50.0  # dB against fp32: what 16 bits must reach to be chosen
INT8_FLOOR = 40.0
_LARGEST = 512  # pixels; side of the part of an image that is judged
_WORTH = 3  # a job must have so many times the pixels that are judged
# Seconds of compiling, by what ResNet and U-Net generators took, and the share of the time that is saved at least
_COMPILE_START, _COMPILE_LAYER, _COMPILE_GAIN = 8.0, 0.7, 0.1


def settle(predictor: Predictor, batches: Sequence[Batch], count: int | None = None) -> Choice:
    """Choose what computes a predictor's networks, and say so in one line.

    Args:
        batches: the first images of the job, each as the predictor takes it.
        count: of images in the job; None: unknown, many.

    Raises:
        UserError: int8 is too far from fp32, or cannot be calibrated.
    """
    engines = predictor.engines
    assert engines is not None and batches
    parts = [middle(batch) for batch in batches]
    try:
        choice = _arithmetic(predictor, engines, batches, parts, count)
    except BaseException:
        engines.choice = None  # nothing is settled, and what was tried must not be used
        raise
    if engines.options.compile == "auto":
        choice = _compile(predictor, engines, choice, _pixels(batches[0]) / _pixels(parts[0]), parts[0], count)
    elif engines.options.compile != "off":
        choice = dataclasses.replace(choice, compile=engines.options.compile)
    if engines.choice is None or dataclasses.replace(choice, psnr=None, reason="") != engines.choice:
        engines.use(choice, engines.recorded)
    engines.keep(choice)
    if not choice.plain or choice.reason:
        print(choice.line(), file=sys.stderr)
    return choice


def _arithmetic(
    predictor: Predictor, engines: Engines, batches: Sequence[Batch], parts: Sequence[Batch], count: int | None
) -> Choice:
    wanted = Choice(engines.options.precision, engines.options.backend)
    if wanted.precision == "int8":
        return _int8(predictor, engines, wanted, parts)
    if wanted.precision != "auto":
        return wanted
    fast, reason = fastest_precision(engines.device)
    exact = dataclasses.replace(wanted, precision="fp32")
    if wanted.backend == "onnxruntime":
        fast, reason = "fp32", "onnxruntime has no bf16 on CPUs"
    if fast != "fp32" and predictor.options.mc_dropout:
        fast, reason = "fp32", "dropout is on"
    work = math.inf if count is None else count * _pixels(batches[0])
    if fast != "fp32" and work < _WORTH * sum(_pixels(part) for part in parts):
        fast, reason = "fp32", f"for so short a job {fast} is not worth measuring"
    if fast == "fp32":
        return dataclasses.replace(exact, reason=reason)
    psnr = judge(predictor, dataclasses.replace(wanted, precision=fast), parts)
    if psnr < FLOOR:
        return dataclasses.replace(exact, reason=f"{fast} is but {psnr:.1f} dB from it here, below {FLOOR:g}")
    return dataclasses.replace(wanted, precision=fast, psnr=psnr, reason=reason)


def judge(
    predictor: Predictor,
    choice: Choice,
    parts: Sequence[Batch],
    recorded: Mapping[nn.Module, Sequence[Tensor]] | None = None,
) -> float:
    """Return the PSNR of what a choice makes against the networks themselves in fp32, in dB; leaves the choice set."""
    engines = predictor.engines
    assert engines is not None
    engines.use(Choice())
    expected = _results(predictor, parts)
    engines.use(choice, recorded)
    found = _results(predictor, parts)
    return min(compare(expected[label], found[label])[1] for label in expected)


def _results(predictor: Predictor, parts: Sequence[Batch]) -> dict[str, list[Tensor]]:
    """Return images in 0..1 by label, of those that the model makes."""
    results: dict[str, list[Tensor]] = {}
    for part in parts:
        for label, image in predictor(part).items():
            results.setdefault(label, []).append(image * 0.5 + 0.5)
    return results


def _int8(predictor: Predictor, engines: Engines, wanted: Choice, parts: Sequence[Batch]) -> Choice:
    """Calibrate on some images and judge on others."""
    if engines.calibration is None:
        raise UserError("--precision int8 is for runs of one generator: add --model test")
    if any(getattr(network, "inputs", None) is not None for network in predictor.networks):
        raise UserError("--precision int8: not for runs with --context, --coordinates, --input_norms; use auto")
    calibration = engines.calibration()
    known = [middle(batch)["A"] for batch in calibration]
    others = [part for part in parts if not _among(part["A"], known)]
    if not others:
        raise UserError("--calibration: int8 would be judged on images it is calibrated on; name a folder of others")
    engines.use(Choice())
    recorded = record(predictor, calibration)
    psnr = judge(predictor, wanted, others, recorded)
    if psnr < INT8_FLOOR:
        raise UserError(
            f"--precision int8: {psnr:.1f} dB PSNR against fp32 on {len(others)} other image(s) is below "
            f"{INT8_FLOOR:g}; use --precision auto"
        )
    reason = f"calibrated on {len(calibration)} images, judged on {len(others)} other(s)"
    return dataclasses.replace(wanted, psnr=psnr, reason=reason)


def _among(image: Tensor, others: Sequence[Tensor]) -> bool:
    return any(torch.equal(image, other) for other in others)


def record(predictor: Predictor, batches: Sequence[Batch]) -> dict[nn.Module, list[Tensor]]:
    """Return what every network is given when a predictor translates these batches."""
    seen: dict[nn.Module, list[Tensor]] = {network: [] for network in predictor.networks}
    hooks = [n.register_forward_pre_hook(lambda layer, given: seen[layer].append(given[0].cpu())) for n in seen]
    try:
        for batch in batches:
            predictor(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def middle(batch: Batch) -> dict[str, Tensor]:
    """Return the middle of every image of a batch, at most 512 pixels a side."""
    cut = {}
    for side in ("A", "B"):
        if side in batch:
            height, width = batch[side].shape[-2:]
            top, left = (max(0, (size - _LARGEST) // 2) for size in (height, width))
            cut[side] = batch[side][:1, :, top : top + _LARGEST, left : left + _LARGEST].contiguous()
    return cut


def _pixels(batch: Batch) -> int:
    return batch["A"].shape[-2] * batch["A"].shape[-1]


def _compile(
    predictor: Predictor, engines: Engines, choice: Choice, enlarged: float, part: Batch, count: int | None
) -> Choice:
    """Compile where the job is long enough to win by it.

    Args:
        enlarged: pixels of an image over those of the part.
    """
    engines.use(choice)
    seconds = enlarged * min(_seconds(predictor, part) for _ in range(3))
    layers = sum(isinstance(m, nn.modules.conv._ConvNd) for n in predictor.networks for m in n.modules())
    start = _COMPILE_START + _COMPILE_LAYER * layers
    needed = math.ceil(start / (_COMPILE_GAIN * seconds))
    pays = f"compiling takes about {start:.0f} s and pays from {needed:,} images"
    long_enough = count is not None and count >= needed
    job = "how many come is unknown" if count is None else f"here are {count:,}"
    reason = "; ".join(text for text in (choice.reason, pays, job if long_enough else f"not done, {job}") if text)
    return dataclasses.replace(choice, compile="default" if long_enough else "off", reason=reason)


def _seconds(predictor: Predictor, part: Batch) -> float:
    began = time.perf_counter()
    predictor(part)
    return time.perf_counter() - began
