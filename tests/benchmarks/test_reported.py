"""What teams reported: how seeds become a verdict, and how a training that broke is counted."""

from __future__ import annotations

import json
import pathlib
import shlex

import pytest

from benchmarks import depth_chain, flare_chain, losses
from benchmarks.nfnet import outcome, row
from benchmarks.verdicts import section, verdict
from models.losses import GAN_MODES
from options.train_options import TrainOptions
from recipes.sem_depth_chain import Chain


def test_only_seeds_that_agree_decide() -> None:
    assert verdict([1, 2, 3], [2, 3, 4], lower=True) == "confirmed" == verdict([2, 3, 4], [1, 2, 3], lower=False)
    assert verdict([2, 3, 4], [1, 2, 3], lower=True) == "refuted" == verdict([1, 1, 1], [1, 1, 1], lower=True)
    assert verdict([1, 2, 5], [2, 3, 4], lower=True) == "undecided" == verdict([1, 2], [2, 3], lower=True)


def test_the_section_tells_rows_and_claims() -> None:
    stages = {"CycleGAN, U-Net": 4000.0, "with the level": 3500.0}
    found = [{name: value + 100 * seed for name, value in stages.items()} for seed in range(3)]
    text = section(found, depth_chain.CLAIMS, "RMSE", lower=True)
    assert "| with the level | 3500 | 3600 | 3700 | 3600 ± 100 |" in text
    assert "| the level of the background helps | confirmed | -500 ± 0 |" in text and "mask" not in text


def test_claims_speak_of_rows_that_there_are() -> None:
    chain = Chain(pathlib.Path("work"), pathlib.Path("nowhere"), straight=True)
    chain.classes = lambda: ["level_1", "level_2"]  # type: ignore[method-assign]
    titles = {stage.title for stage in chain.stages()}
    assert {row for rows in depth_chain.CLAIMS.values() for row in rows} <= titles
    assert {row for rows in flare_chain.CLAIMS.values() for row in rows} <= set(flare_chain.ROWS)
    assert {row for rows in losses.CLAIMS.values() for row in rows} == set(losses.ROWS)


@pytest.mark.parametrize("row", flare_chain.ROWS)
def test_the_flags_of_flare_are_valid(row: str) -> None:
    words = [*shlex.split(flare_chain.METHOD), *flare_chain.flags(row, 512, 4), "--dataroot", "."]
    assert TrainOptions().parse(words).values["crop_size"] in (128, 256, 512)


def test_each_mix_of_losses_differs_from_the_others_by_its_own_flags() -> None:
    seen = set()
    for mix in losses.ROWS:
        words = [*shlex.split(losses.METHOD), *losses.flags(mix, "vgg.pth", "squeeze.pth"), "--dataroot", "."]
        values = TrainOptions().parse(words).values
        weights = {name: value for name, value in values.items() if name.startswith("lambda_") or name == "gan_mode"}
        seen.add(tuple(sorted(weights.items())))
        assert (values["lambda_VGG"] > 0) == (values["vgg_weights"] == "vgg.pth")
        assert (values["lambda_LPIPS"] > 0) == (values["lpips_loss_weights"] == "squeeze.pth")
    assert len(seen) == len(losses.ROWS) and {mode for mode in GAN_MODES.names()} - {"hole_patches", "soft_mask"} == {
        dict(weights)["gan_mode"] for weights in seen
    }


def test_a_loss_that_is_not_finite_is_found(tmp_path: pathlib.Path) -> None:
    records = [
        {"step": step, "total_iters": 4 * step, "losses": {"G_L1": None if step == 2 else 9.0 - step}}
        for step in (1, 2, 3, 4)
    ]
    (tmp_path / "losses.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert outcome(tmp_path, 2) == {"broken": 2, "loss": 5.5, "rmse": None}
    assert outcome(tmp_path, 4)["loss"] is None
    facts = [{"broken": 2, "loss": None, "rmse": None, "left_out": 1}, {"broken": None, "loss": 3.0, "rmse": 90.0}]
    found = row("0.1", "0", [facts[0], facts[1] | {"left_out": 0}])
    assert found == ["0.1", "0", "1 of 2, first at step 2", "1", "3.00", "90"]
