"""What teams reported: how seeds become a verdict, and how a training that broke is counted."""

from __future__ import annotations

import json
import pathlib

from benchmarks.depth_chain import section, verdict
from benchmarks.nfnet import outcome, row


def test_only_seeds_that_agree_decide() -> None:
    assert verdict([1, 2, 3], [2, 3, 4]) == "confirmed" and verdict([2, 3, 4], [1, 2, 3]) == "refuted"
    assert verdict([1, 2, 5], [2, 3, 4]) == "undecided" == verdict([1, 2], [2, 3])


def test_the_section_tells_rows_and_claims() -> None:
    stages = {"CycleGAN, U-Net": 4000.0, "with the level": 3500.0}
    text = section([{name: value + 100 * seed for name, value in stages.items()} for seed in range(3)])
    assert "| with the level | 3500 | 3600 | 3700 | 3600 ± 100 |" in text
    assert "| the level of the background helps | confirmed | -500 ± 0 |" in text and "mask" not in text


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
