"""Naming what a picture shows, from a local file."""

from __future__ import annotations

import hashlib
import pathlib
from types import SimpleNamespace
from typing import cast
from unittest.mock import MagicMock

import pytest
import timm
import torch
from safetensors.torch import save_file

from data.value_range import ValueRange
from inference.server.classifier import Classifier
from inference.server.comparison import Outcome
from inference.server.jobs import Task
from inference.server.service import Service
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


def test_own_classes_have_own_names(tmp_path: pathlib.Path) -> None:
    state = {"state_dict": timm.create_model(NAME, num_classes=3).state_dict(), "epoch": 7, "arch": NAME}
    file = tmp_path / "model_best.pth.tar"
    torch.save(state, file)
    (tmp_path / "names.txt").write_text("cat\ndog\n\nowl\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    found = Classifier(NAME, f"{file}#sha256={digest}", CPU, str(tmp_path / "names.txt"))(pixels(), top=5)
    assert set(found) == {"cat", "dog", "owl"}
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for names, words in (("names.txt", "2 names for 3 classes"), ("none.txt", "cannot be read")):
        with pytest.raises(UserError, match=words):
            Classifier(NAME, str(file), CPU, str(tmp_path / names))
    with pytest.raises(UserError, match="--classifier_weights .*sha256"):
        Classifier(NAME, f"{file}#sha256={'0' * 64}", CPU)


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


def test_the_page_names_what_is_seen_before_and_after(weights: pathlib.Path) -> None:
    pytest.importorskip("gradio", reason="the server's libraries are not installed: requirements-serve.txt")
    from inference.server.page_actions import Actions

    before, after = pixels(40, 60), pixels(40, 60, seed=1)
    task = SimpleNamespace(seconds=0.1, job=SimpleNamespace(run="zebras"))
    outcome = Outcome(cast(Task, task), after, ValueRange(0, 255), before, after)
    classifier, run = Classifier(NAME, str(weights), CPU), MagicMock(fills_holes=False)
    run.ranges.return_value = (ValueRange(0, 255), ValueRange(0, 255))
    actions = Actions(cast(Service, SimpleNamespace(runs={"zebras": run}, classifier=classifier)))
    lines = actions._report([outcome], before, None, True).splitlines()
    for name, shown in (("input", before), ("zebras", after)):
        best = next(iter(classifier(shown)))
        assert any(line.startswith(f"| {name} | {best} ") for line in lines)
    assert len(actions._report([outcome], before, None, False).splitlines()) == 1


def test_halved_weights_in_safetensors_are_read(tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    state = {key: value.half() if value.is_floating_point() else value
             for key, value in timm.create_model(NAME).state_dict().items()}  # fmt: skip
    save_file(state, tmp_path / "half.safetensors")
    found = Classifier(NAME, str(tmp_path / "half.safetensors"), CPU)
    assert all(parameter.dtype == torch.float32 for parameter in found.network.parameters())
    assert len(found(pixels())) == 3


def test_weights_that_cannot_be_fetched_name_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, pretrained: bool = False) -> None:
        raise OSError("no network\nat all")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"could not be fetched \(no network at all\).*--classifier_weights"):
        Classifier(NAME, None, CPU)
