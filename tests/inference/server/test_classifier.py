"""Naming what a picture shows, from a local file."""

from __future__ import annotations

import pathlib

import pytest
import timm
import torch

from inference.server.classifier import Classifier
from tests.inference.server.conftest import pixels
from util.errors import UserError

NAME, CPU = "test_resnet", torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("classifier") / "weights.pth"
    torch.save(timm.create_model(NAME).state_dict(), path)
    return path


def test_classes_have_names_and_probabilities(weights: pathlib.Path) -> None:
    found = Classifier(NAME, str(weights), CPU)(pixels(100, 150), top=5)
    assert len(found) == 5 and not any(name.startswith("class ") for name in found)
    assert 1 > sum(found.values()) > 0 and list(found.values()) == sorted(found.values(), reverse=True)


def test_other_numbers_of_classes_are_read_off_the_file(tmp_path: pathlib.Path) -> None:
    torch.save(timm.create_model(NAME, num_classes=3).state_dict(), tmp_path / "three.pth")
    found = Classifier(NAME, str(tmp_path / "three.pth"), CPU)(pixels(), top=5)
    assert set(found) == {"class 0", "class 1", "class 2"} and sum(found.values()) == pytest.approx(1)


def test_mistakes_are_one_line(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name, path, words in (
        ("tset_resnet", str(weights), "did you mean test_resnet"),
        (NAME, str(tmp_path / "missing.pth"), "no such file"),
        (NAME, str(tmp_path / "other.pth"), f"no weights of timm's {NAME}"),
        ("test_vit", str(weights), "test_vit"),
    ):
        with pytest.raises(UserError, match=words) as error:
            Classifier(name, path, CPU)
        assert "\n" not in str(error.value)


def test_weights_that_cannot_be_fetched_name_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, pretrained: bool = False) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"could not be fetched \(no network at all\).*--classifier_weights"):
        Classifier(NAME, None, CPU)
