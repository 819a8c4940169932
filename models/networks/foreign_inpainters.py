"""Recognise inpainting networks by their state-dict keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]
Found = tuple[str, dict[str, Any], int, int]
_LAMA_FIRST = "model.1.ffc.convl2l.weight"
_BIG = 18  # blocks of Big LaMa


def recognise_inpainter(state: State) -> Found | None:
    """Return (name, its options' values, input_nc with the mask, output_nc), or None."""
    for recognise in (_lama, _aot_gan, _deepfillv2, _gin):
        if (found := recognise(state)) is not None:
            return found
    return None


def lama_alone(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the generator of a LaMa's training state, under its own keys; other states as they are.

    LaMa's own files call it ``generator.``, beside what it was trained with; spandrel calls it ``model.``.
    """
    first = next((key for key in state if key.endswith(f".{_LAMA_FIRST}")), None)
    if first is None:
        return state
    prefix = first.removesuffix(_LAMA_FIRST)
    own = f"{prefix}model."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(own)}


def _numbers(state: State, pattern: str) -> set[int]:
    """Return the numbers that a regular expression's group finds in the keys."""
    return {int(found[1]) for key in state if (found := re.match(pattern, key))}


def _lama(state: State) -> Found | None:
    blocks = _numbers(state, r"model\.(\d+)\.conv1\.ffc\.convg2g\.fu\.conv_layer\.weight")
    last = f"model.{16 + len(blocks)}.weight"
    if _LAMA_FIRST not in state or last not in state:
        return None
    first = state[_LAMA_FIRST]
    values = {"ngf": len(first), "n_blocks": len(blocks)}
    return "lama_big" if len(blocks) >= _BIG else "lama", values, first.shape[1], len(state[last])


def _aot_gan(state: State) -> Found | None:
    rates, blocks = _numbers(state, r"middle\.0\.block(\d+)\.1\.weight"), _numbers(state, r"middle\.(\d+)\.fuse\.")
    if not rates or not {"encoder.1.weight", "decoder.4.weight"} <= set(state):
        return None
    first = state["encoder.1.weight"]
    values: dict[str, Any] = {"ngf": len(first), "n_blocks": len(blocks)}
    values["aot_rates"] = tuple(2**i for i in range(len(rates)))  # the paper's; weights do not tell them
    return "aot_gan", values, first.shape[1], len(state["decoder.4.weight"])


def _deepfillv2(state: State) -> Found | None:
    keys = ("stage1.conv1.conv.weight", "stage1.conv_bn1.conv.weight", "stage2.conv_to_rgb.conv.weight")
    if not set(keys) <= set(state):
        return None
    first, middle, last = (state[key] for key in keys)
    return "deepfillv2", {"ngf": middle.shape[1] // 2}, first.shape[1] - 1, len(last)


def _gin(state: State) -> Found | None:
    keys = ("r_en_conv1.weight", "r_en_conv2.weight", "r_de_conv5.weight")
    if not set(keys) <= set(state):
        return None
    first, second, last = (state[key] for key in keys)
    return "gin", {"ngf": len(second)}, first.shape[1], len(last)
