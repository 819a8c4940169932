"""What many tests share: tiny data sets, one thread, and ways to run a command inside and outside this process."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
Words = list[str]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _own_image_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["A2B_CACHE"] = str(tmp_path_factory.mktemp("images"))


def _picture(random: np.random.Generator, width: int, size: int) -> np.ndarray:
    """Return (size, width, 3) uint8: a coloured gradient with a bright square, so that networks can learn it."""
    ramp = np.linspace(0, 200, width)[None, :, None] * random.uniform(0.2, 1, 3)
    image = np.repeat(ramp, size, axis=0)
    top, left = random.integers(0, size // 2), random.integers(0, width // 2)
    image[top : top + size // 4, left : left + width // 4] = 255
    return image.astype(np.uint8)


def _write(folder: pathlib.Path, count: int, width: int, size: int, seed: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(_picture(random, width, size)).save(folder / f"{number:02}.png")


@pytest.fixture(scope="session")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with train/ (6 pairs of 32 x 32, side by side) and test/ (2 pairs)."""
    root = tmp_path_factory.mktemp("aligned")
    _write(root / "train", 6, 64, 32, seed=1)
    _write(root / "test", 2, 64, 32, seed=2)
    return root


@pytest.fixture(scope="session")
def unaligned(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with trainA/ trainB/ (6 and 5 images of 32 x 32) and testA/ testB/ (2 each)."""
    root = tmp_path_factory.mktemp("unaligned")
    for seed, (name, count) in enumerate((("trainA", 6), ("trainB", 5), ("testA", 2), ("testB", 2))):
        _write(root / name, count, 32, 32, seed)
    return root


@pytest.fixture(scope="session")
def tiny() -> Words:
    """Return the flags of a training that takes milliseconds a step."""
    text = "--netG resnet_6blocks --ngf 4 --ndf 4 --preprocess none --num_threads 0 --gpu_ids -1 --no_html"
    text += " --precision fp32"  # auto measures the machine, and tests compare bits
    return text.split() + ["--display_id", "0", "--print_freq", "1", "--no_dropout"]


@pytest.fixture
def train() -> Callable[..., int]:
    """Return a function that runs a train.py command in this process and returns its exit code."""

    def run(*words: object) -> int:
        from commands.training import TrainingSession
        from options.train_options import TrainOptions

        return TrainingSession(TrainOptions().parse([str(word) for word in words])).run()

    return run


def environment() -> dict[str, str]:
    """Return the environment of a child process with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs ``python WORDS`` from the root of the project."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)

    return run
