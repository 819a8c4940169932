"""Classes of whole images: labels from folders, soft and hard votes, and a classifier that learns."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from commands.build import build_model
from data import DATASETS
from data.classes import label_values
from data.common import CommonDataOptions
from data.labels import label_dtype
from data.readers import read_image
from data.writers import write_image
from inference.ensemble import Ensemble, Member
from inference.predictor import Predictor
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

CLASSES = "level_100,level_200,level_400"


def make(*words: str) -> Any:
    flags = ["--dataroot", ".", "--model", "classify", "--classes", CLASSES, "--class_encoder", "test_convnext"]
    return build_model(TrainOptions().parse([*flags, "--input_nc", "1", *words]), train=True).eval()


def test_values_are_the_numbers_at_the_ends_of_names_else_places() -> None:
    assert label_values(CLASSES.split(",")) == [100.0, 200.0, 400.0] and label_values(["d0.5", "d2"]) == [0.5, 2.0]
    assert label_values(["cats", "dogs"]) == [0.0, 1.0] == label_values(["a", "2"])
    assert [label_dtype([0, top]) for top in (255, 256, 0.5, 70000)] == ["uint8", "uint16", "float32", "float32"]
    for wrong in ([], ["one"], ["a_1", "b_1"]):
        with pytest.raises(UserError, match="name two or more folders of images, each once"):
            label_values(wrong)


@pytest.fixture
def levels(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return images whose brightness tells their class."""
    random = np.random.default_rng(0)
    for phase, count in (("train", 6), ("test", 2)):
        for place, name in enumerate(CLASSES.split(",")):
            for number in range(count):
                image = 30 + 90 * place + random.integers(0, 20, (32, 32, 1))
                write_image(tmp_path / f"data/{phase}/{name}/{number}.png", image.astype(np.uint8))
    return tmp_path / "data"


def test_each_image_has_the_value_of_its_folder(levels: pathlib.Path) -> None:
    common = CommonDataOptions(dataroot=str(levels), input_nc=1, output_nc=1, preprocess="none")
    options = DATASETS.options("labelled")(classes=tuple(CLASSES.split(",")))
    dataset = DATASETS.get("labelled")(options, common, train=True)
    sample = dataset.load(6, torch.Generator())
    assert len(dataset) == 18 and sample["names"] == "level_200/0"
    assert sample["B"].shape == (1, 32, 32) and sample["B"].unique().item() == pytest.approx(-1 / 3)
    assert dataset.formats["B"].dtype == "uint16"
    write_image(levels / "train/level_300/0.png", np.zeros((32, 32, 1), np.uint8))
    with pytest.raises(UserError, match=r"level_300/0\.png: lies in none of --classes .*mean"):
        DATASETS.get("labelled")(options, common, train=True)


def test_the_loss_is_the_cross_entropy() -> None:
    model, batch = make(), {"A": torch.rand(2, 1, 32, 32), "B": torch.full((2, 1, 32, 32), -1 / 3)}
    images = model(batch)
    logits = model.C(batch["A"])[:, :, 0, 0]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 1]))
    assert model.loss_C(batch, images)["class"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_soft_votes_average_probabilities_and_hard_ones_count() -> None:
    """Two members lean to the first class, one is sure of the last."""
    members = []
    for logits in ([1.0, 0.5, 0.0], [1.0, 0.5, 0.0], [-9.0, -9.0, 9.0]):
        model = make()
        torch.nn.init.zeros_(model.C.last.weight)
        model.C.last.bias.data = torch.tensor(logits)
        members.append(Member(model))
    image = {"A": torch.zeros(1, 1, 32, 32)}
    found = {how: Predictor(Ensemble(members, how), torch.device("cpu"))(image) for how in ("mean", "vote")}
    assert found["mean"]["fake_B"].unique().tolist() == [1.0] and found["vote"]["fake_B"].unique().tolist() == [-1.0]
    assert all("votes" not in images for images in found.values())


def test_a_classifier_learns_and_is_tested(
    levels: pathlib.Path, train: Callable[..., int], tiny: list[str], tmp_path: pathlib.Path
) -> None:
    network = ["--classes", CLASSES, "--class_encoder", "test_convnext", "--input_nc", 1, "--batch_size", 6]
    own = [word for word in tiny if word not in ("--netG", "resnet_6blocks", "--ngf", "--ndf", "4", "--no_dropout")]
    place = ["--checkpoints_dir", tmp_path, "--name", "levels", "--dataroot", levels]
    length = ["--n_epochs", 12, "--n_epochs_decay", 4, "--lr", 0.003]
    assert train("--model", "classify", *network, *place, *length, *own) == 0

    from commands.testing import TestingSession

    results = ["--results_dir", tmp_path / "results", "--gpu_ids", -1]
    assert TestingSession(TestOptions().parse([str(word) for word in [*place, *results]])).run() == 0
    mean = json.loads((tmp_path / "results/levels/test_latest/metrics.json").read_text())["mean"]
    assert mean == {"rmse": 0.0, "mae": 0.0, "accuracy": 1.0}
    images = tmp_path / "results/levels/test_latest/images"
    assert read_image(images / "level_400/1_fake_B.png").max() == 400

    single = ["--dataroot", levels / "test/level_200", "--dataset_mode", "single", "--phase", "other"]
    words = [*place[:-2], *results, *single]
    assert TestingSession(TestOptions().parse([str(word) for word in words])).run() == 0
    assert np.unique(read_image(tmp_path / "results/levels/other_latest/images/0_fake_B.png")).tolist() == [200]
