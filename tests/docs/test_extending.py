"""The examples of docs/extending.md train, with the commands that stand under them."""

from __future__ import annotations

import pathlib
import shlex

import numpy as np
import pytest
import torch

from data.writers import write_image
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.docs.pages import EXTENDING, code_blocks

TINY = shlex.split("--ngf 4 --load_size 32 --crop_size 32 --max_steps 2 --gpu_ids -1 --num_threads 0")
QUIET = shlex.split("--display_id -1 --no_html")


def scripts(script: str) -> dict[str, list[str]]:
    """Return plugin file -> flags of the command of ``script`` that names it."""
    lines = [line for block in code_blocks(EXTENDING) for line in block.splitlines()]
    found = [shlex.split(line)[2:] for line in lines if line.startswith(f"python {script} --plugin")]
    return {words[1]: words for words in found}


def test_every_example_has_a_command(plugins: dict[str, pathlib.Path]) -> None:
    assert set(scripts("train.py")) == set(plugins) == {"my_model.py", "my_data.py", "my_network.py", "my_loss.py"}


@pytest.fixture()
def tiny_data(tmp_path: pathlib.Path) -> pathlib.Path:
    """Make three pairs of 32 x 32 pixels in the folders of the SEM data, and lists of them."""
    random = np.random.default_rng(0)
    for phase in ("train", "test"):
        for folder in ("sem", "depth"):
            (tmp_path / "data" / phase / folder).mkdir(parents=True)
            for number in range(3):
                image = random.integers(0, 256, (32, 32, 1), dtype=np.uint8)
                write_image(tmp_path / "data" / phase / folder / f"{number}.png", image)
        lines = [f"{phase}/sem/{n}.png,{phase}/depth/{n}.png" for n in range(3)]
        (tmp_path / "data" / f"{phase}.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "data"


@pytest.mark.parametrize("example", sorted(scripts("train.py")))
def test_example_trains_and_translates(
    example: str, plugins: dict[str, pathlib.Path], tiny_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    torch.set_num_threads(1)
    plugin, paths = str(plugins[example]), ["--checkpoints_dir", str(tmp_path), "--dataroot", str(tiny_data)]
    words = [plugin if word == example else word for word in scripts("train.py")[example]]
    small = ["--netG", "dilated" if example == "my_network.py" else "resnet_6blocks"]

    from commands.training import TrainingSession

    assert TrainingSession(TrainOptions().parse([*words, *small, *paths, *TINY, *QUIET])).run() == 0
    name = words[words.index("--name") + 1]
    assert (tmp_path / name / "latest_net_G.pth").is_file()

    from commands.testing import TestingSession

    results = ["--results_dir", str(tmp_path / "results"), "--gpu_ids", "-1"]
    options = TestOptions().parse(["--plugin", plugin, "--name", name, *paths, *results])
    assert TestingSession(options).run() == 0
    assert (tmp_path / "results" / name / "test_latest" / "metrics.json").is_file()
