"""Contextual attention, written out patch by patch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks import contextual_attention
from models.networks.contextual_attention import ContextualAttention


def features(height: int = 8, width: int = 12, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Return maps and their holes, another one in each sample."""
    x = torch.randn(batch, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    holes = torch.zeros(batch, 1, 4 * height, 4 * width)
    holes[0, :, :9, 8:20] = 1
    holes[-1, :, 20:, :6] = 1
    return x, holes


def by_hand(x: Tensor, holes: Tensor) -> Tensor:
    """Return the attention of one sample (C,H,W), with loops."""
    small, mask = x[:, ::2, ::2], holes[0, ::8, ::8]
    height, width = small.shape[1:]
    places = [(i, j) for i in range(height) for j in range(width)]
    wide, wide_mask = F.pad(small, (1, 1, 1, 1)), F.pad(mask, (1, 1, 1, 1))
    patches = {p: wide[:, p[0] : p[0] + 3, p[1] : p[1] + 3] for p in places}
    known = {p: not wide_mask[p[0] : p[0] + 3, p[1] : p[1] + 3].any() for p in places}
    large = F.pad(x, (1, 1, 1, 1))

    def likeness(a: tuple[int, int], b: tuple[int, int]) -> float:
        return float((patches[a] / patches[a].norm().clamp_min(1e-4) * patches[b]).sum())

    by_rows, by_columns = places, sorted(places, key=lambda p: (p[1], p[0]))

    def along(order: list[tuple[int, int]], table: dict) -> dict:
        number = {p: n for n, p in enumerate(order)}
        pairs = [(a, b) for a in order for b in order]
        return {
            (a, b): sum(
                table[order[number[a] + d], order[number[b] + d]]
                for d in (-1, 0, 1)
                if min(number[a], number[b]) + d >= 0 and max(number[a], number[b]) + d < len(order)
            )
            for a, b in pairs
        }

    table = along(by_columns, along(by_rows, {(a, b): likeness(a, b) for a in places for b in places}))
    result = torch.zeros_like(large)
    for b in places:
        scores = {a: 10 * table[a, b] if known[a] else 0.0 for a in places}
        total = sum(math.exp(score) for score in scores.values())
        for a in places:
            if known[a]:
                patch = large[:, 2 * a[0] : 2 * a[0] + 4, 2 * a[1] : 2 * a[1] + 4]
                result[:, 2 * b[0] : 2 * b[0] + 4, 2 * b[1] : 2 * b[1] + 4] += math.exp(scores[a]) / total * patch / 4
    return result[:, 1:-1, 1:-1]


@pytest.mark.parametrize("at_once", [4096**2, 50])
def test_it_is_what_loops_over_patches_give(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(contextual_attention, "_AT_ONCE", at_once)
    x, holes = features()
    found = ContextualAttention()(x, holes)
    for sample in (0, 1):
        torch.testing.assert_close(found[sample], by_hand(x[sample], holes[sample]))


def test_maps_that_are_all_zero_have_a_gradient() -> None:
    x, holes = torch.zeros(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 1, 16, 16)
    ContextualAttention()(x, holes).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_the_softmax_is_computed_in_float32() -> None:
    x, holes = features()
    expected = ContextualAttention()(x.float(), holes)
    with torch.autocast("cpu", torch.bfloat16):
        found = ContextualAttention()(x.bfloat16(), holes)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.3, rtol=0.1)
