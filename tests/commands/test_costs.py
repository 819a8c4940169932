"""compare.py --cost: what stands beside a run in the table."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from torch import Tensor

from commands import costs
from commands.costs import candidates, measure_costs


def test_an_int8_file_gets_what_its_run_sees_beside_the_image(
    aligned: pathlib.Path, train: Callable[..., int], tiny: list[str], tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    words = ["--model", "template", *tiny, "--dataroot", aligned, "--checkpoints_dir", tmp_path, "--max_steps", 1]
    assert train(*words, "--name", "run", "--input_norms", "range,image") == 0
    (tmp_path / "run" / "export").mkdir()
    (tmp_path / "run" / "export" / "run_latest_net_G_int8.onnx").write_bytes(bytes(10**6))
    seen: list[int] = []

    def open_onnx(path: pathlib.Path) -> Callable[[Tensor], Tensor]:
        return lambda image: seen.append(image.shape[1]) or image[:, :3]

    monkeypatch.setattr(costs, "open_onnx", open_onnx)
    own, int8 = measure_costs(["run"], str(tmp_path), str(aligned), 1)
    assert int8.candidate.name == "run, int8" and int8.candidate.megabytes == 1 and set(seen) == {6}
    assert own.quality["psnr"] > 3 and int8.quality["psnr"] > 3
    assert len(list(candidates("run", str(tmp_path)))) == 2
