"""What the start of a training says of flags that fit neither the data nor the arithmetic."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from util.errors import UserError

Train = Callable[..., int]


@pytest.mark.parametrize(("size", "noted"), [(6, False), (7, True)])
def test_a_batch_larger_than_the_data_is_noted(
    size: int,
    noted: bool,
    train: Train,
    tiny: list[str],
    aligned: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--model", "template", "--dataroot", aligned, "--checkpoints_dir", tmp_path, *tiny, "--max_steps", 1]
    assert train(*words, "--batch_size", size) == 0
    line = "note: --batch_size 7 is more than the 6 training images, so each batch holds them all"
    assert (line in capsys.readouterr().err) == noted


def test_a_rate_that_ruins_the_weights_does_not_end_well(
    train: Train, tiny: list[str], aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--model", "pix2pix", "--dataroot", aligned, "--checkpoints_dir", tmp_path, *tiny, "--max_steps", 2]
    with pytest.raises(UserError, match="weights of . are not finite, so they are not saved"):
        train(*words, "--lr", "3e38", "--name", "ruined")
    assert not list((tmp_path / "ruined").glob("*.pth"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--ngf", 10**8], "not enough memory for the networks; use a smaller --ngf"),
        (["--preprocess", "resize_and_crop", "--load_size", 10**6, "--crop_size", 10**6], "use a smaller --load_size"),
    ],
)
def test_what_no_memory_holds_is_one_line(
    words: list[object], part: str, train: Train, tiny: list[str], aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match=part):
        train("--model", "template", "--dataroot", aligned, "--checkpoints_dir", tmp_path, *tiny, *words)
