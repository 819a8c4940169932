"""Training on 2 and 4 processes gives the weights of one."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import torch

from training.ranks import Ranks

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAIRED = ["--model", "pix2pix", "--norm", "batch", "--no_dropout", "false"]
VARIANTS = {
    "pix2pix": {"words": PAIRED, "parts": 1, "dtype": "float64"},
    "pix2pix in parts": {"words": PAIRED, "parts": 2, "dtype": "float64"},
    "cycle_gan": {"words": ["--model", "cycle_gan"], "parts": 1, "dtype": "float64"},
    "cycle_gan in fp32": {"words": ["--model", "cycle_gan"], "parts": 1, "dtype": "float32"},
    "relativistic average": {
        **{"words": [*PAIRED, "--norm", "instance", "--gan_mode", "relativistic_average"], "parts": 1},
        "dtype": "float64",
    },
    "wgangp": {"words": [*PAIRED, "--norm", "instance", "--gan_mode", "wgangp"], "parts": 1, "dtype": "float64"},
}
States = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> States:
    """Return the results of every rank of 1, 2 and 4 processes, which all train every variant."""
    folder = tmp_path_factory.mktemp("ranks")
    variants = {name: variant | {"words": [*tiny, *variant["words"]]} for name, variant in VARIANTS.items()}
    return {count: launch(count, folder / str(count), variants) for count in (1, 2, 4)}


def launch(count: int, out: pathlib.Path, variants: dict[str, Any]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    script = [str(ROOT / "tests/training/rank_worker.py"), str(out), json.dumps(variants)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return [torch.load(f"{out}.{rank}.pth", weights_only=True) for rank in range(count)]


def largest_difference(one: dict[str, Any], other: dict[str, Any], ending: str = "") -> float:
    assert one.keys() == other.keys()
    return max((one[key].double() - other[key].double()).abs().max().item() for key in one if key.endswith(ending))


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", VARIANTS)
def test_more_processes_change_the_speed_only(states: States, name: str, count: int) -> None:
    """Batches of 3, 3 and 1 images, so that ranks hold unequal shares and some none."""
    single = "fp32" in name
    tolerance = 1e-4 if single else 1e-9
    compared = "weight" if single else ""  # Adam magnifies the rounding of biases before a norm, whose gradient is 0
    alone = states[1][0][name]
    assert all(torch.isfinite(value).all() for value in alone["networks"].values())
    for rank in states[count]:
        ours = rank[name]
        assert largest_difference(ours["networks"], alone["networks"], compared) <= tolerance
        assert largest_difference(ours["networks"], states[count][0][name]["networks"]) == 0
        for one, other in zip(ours["losses"], alone["losses"], strict=True):
            assert one == pytest.approx(other, rel=10 * tolerance)
        for label, images in ours["pools"].items():
            pairs = zip(images, alone["pools"][label], strict=True)
            assert all(torch.allclose(image, other, atol=10 * tolerance) for image, other in pairs), label


def test_one_process_needs_no_communication() -> None:
    ranks, images = Ranks(), torch.arange(3.0).view(3, 1, 1, 1)
    ranks.sum([images])
    together, own = ranks.in_order(images, [2, 1])
    assert torch.equal(together[own], images) and ranks.first and ranks.any(True, images.device)
