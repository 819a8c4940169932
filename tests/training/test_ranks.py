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
from util.errors import UserError

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
    "one starved process": {"words": ["--model", "cycle_gan"], "parts": 1, "dtype": "float64", "starved": True},
    "a NaN on one process, left out": {"words": PAIRED, "parts": 1, "dtype": "float64", "poisoned": 2},
    "a NaN on one process, rolled back": {
        **{"words": ["--model", "cycle_gan"], "parts": 1, "dtype": "float64", "poisoned": 2, "on_nan": "rollback"},
    },
    "wgangp": {"words": [*PAIRED, "--norm", "instance", "--gan_mode", "wgangp"], "parts": 1, "dtype": "float64"},
    "pix2pix in fp32": {"words": PAIRED, "parts": 1, "dtype": "float32"},
    "wgangp in fp32": {
        **{"words": [*PAIRED, "--norm", "instance", "--gan_mode", "wgangp"], "parts": 1},
        "dtype": "float32",
    },
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
    idle_biases = single and "pix2pix" not in name  # before an instance norm: Adam magnifies the rounding of gradient 0
    compared = "weight" if idle_biases else ""
    alone = states[1][0][name]
    assert all(torch.isfinite(value).all() for value in alone["networks"].values())
    for rank in states[count]:
        ours = rank[name]
        assert largest_difference(ours["networks"], alone["networks"], compared) <= tolerance
        assert largest_difference(ours["networks"], states[count][0][name]["networks"]) == 0
        for one, other in zip(ours["losses"], alone["losses"], strict=True):
            assert one == pytest.approx(other, rel=10 * tolerance, abs=tolerance)  # critics are near 0
        for label, images in ours["pools"].items():
            pairs = zip(images, alone["pools"][label], strict=True)
            assert all(torch.allclose(image, other, atol=10 * tolerance) for image, other in pairs), label


@pytest.mark.parametrize("count", [2, 4])
def test_images_of_unequal_sizes_and_numbers_come_together(states: States, count: int) -> None:
    """Rank r holds r + 1 images in the first part and one in the second, of 2 + r rows."""
    for rank, state in enumerate(states[count]):
        found = [(image.shape[1], image[0, 0, 0].item()) for image in state["gathered"]["images"]]
        first = [(2 + r, 10.0 * r + place) for r in range(count) for place in range(r + 1)]
        assert found == [*first, *((2 + r, 10.0 * r + r + 1) for r in range(count))]
        assert [found[place][1] // 10 for place in state["gathered"]["own"]] == [rank] * (rank + 2)


def test_one_process_needs_no_communication() -> None:
    ranks, images = Ranks(), torch.arange(3.0).view(3, 1, 1, 1)
    ranks.sum([images])
    together, own = ranks.in_order(images, [2, 1])
    assert torch.equal(torch.stack([together[place] for place in own]), images)
    assert ranks.first and ranks.any(True)


class _Second(Ranks):
    """The second of two processes, of which the first finds an image too small."""

    def __init__(self) -> None:
        super().__init__(1, 2)

    def any(self, here: bool) -> bool:
        return True

    def gather_rows(self, rows: dict[int, Any]) -> dict[int, Any]:
        return {0: "a.png: too small"} | rows


def test_a_mistake_on_one_process_ends_all_of_them() -> None:
    def refuse() -> int:
        raise UserError("b.png: too small")

    with pytest.raises(UserError, match=r"a\.png"):
        _Second().all_do(lambda: 1)
    with pytest.raises(UserError, match=r"b\.png"):
        Ranks().all_do(refuse)
    assert Ranks().all_do(lambda: None) is None
