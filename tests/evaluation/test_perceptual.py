"""Trunks for LPIPS beyond the plain one that test_metrics.py uses."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch

from evaluation import perceptual

WEIGHTS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "data" / "weights"
SQUEEZENET, TOLERANT = (WEIGHTS / f"{name}_fp16.safetensors" for name in ("squeezenet1_1_features", "stlpips_alex"))
needs_weights = pytest.mark.skipif(
    not (SQUEEZENET.is_file() and TOLERANT.is_file()), reason=f"the weights are not in {WEIGHTS}"
)


def pictures() -> list[np.ndarray]:
    """Return a smooth picture, and the same with little and with much noise, in [0,1]."""
    y, x = np.mgrid[0:64, 0:64] / 64
    clean = np.stack([x, y, np.sin(9 * x) ** 2], axis=2)
    noise = np.random.default_rng(0).normal(size=clean.shape)
    return [clean, *(np.clip(clean + strength * noise, 0, 1) for strength in (0.05, 0.3))]


@needs_weights
def test_the_shift_tolerant_network_orders_noise() -> None:
    distance, name = perceptual.load(str(TOLERANT))
    assert distance is not None and name == f"shift-tolerant alex ({TOLERANT.name})"
    clean, near, far = pictures()
    assert distance(clean, clean) == 0.0
    assert 0.0 < distance(near, clean) < distance(far, clean)


@needs_weights
def test_the_shift_tolerant_network_minds_a_shift_less() -> None:
    clean, _, far = pictures()
    shares = []
    for path in (TOLERANT, SQUEEZENET):
        distance, _ = perceptual.load(str(path))
        assert distance is not None
        shares.append(distance(np.roll(far, 1, axis=1), far) / distance(far, clean))
    assert shares[0] < shares[1]


def test_weights_in_the_cache_of_torchvision_are_found(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import squeezenet1_1

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save(squeezenet1_1(weights=None).state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    distance, name = perceptual.load(None)
    assert distance is not None and name == "squeeze (squeezenet1_1-b8a52dc0.pth)"
