"""What is saved when, and which weight files stay."""

from __future__ import annotations

import pathlib
import types

import pytest
from torch import nn

from models.files import save_networks
from training.loggers import Position
from training.saving import Saver, prune
from training.settings import SaveOptions
from util.errors import UserError


def saver(folder: pathlib.Path, **values: object) -> Saver:
    return Saver(None, folder, SaveOptions(**values))  # type: ignore[arg-type]


def at(images: int, epoch: int = 1) -> Position:
    return Position(epoch, images, images, images)


def test_saves_are_due_by_images_and_by_epochs(tmp_path: pathlib.Path) -> None:
    saves = saver(tmp_path, save_latest_freq=10, save_epoch_freq=2)
    assert saves.labels(at(9)) == []
    assert saves.labels(at(12)) == ["latest"]
    assert saves.labels(at(15)) == []
    assert saves.labels(at(21), epoch_ended=1) == ["latest"]
    assert saves.labels(at(22), epoch_ended=2) == ["latest", "2"]
    assert saves.labels(at(23), epoch_ended=3, last=True) == ["latest", "3"]


def test_saves_by_iter_have_their_own_names(tmp_path: pathlib.Path) -> None:
    saves = saver(tmp_path, save_latest_freq=10, save_by_iter=True, save_epoch_freq=1)
    assert saves.labels(at(12)) == ["iter_12"]
    assert saves.labels(at(20), epoch_ended=1) == ["iter_20", "latest", "1"]


@pytest.mark.parametrize(("keep", "epochs", "iters"), [(1, {20}, {7000}), (2, {15, 20}, {500, 7000}), (9, None, None)])
def test_only_the_newest_numbered_weights_stay(
    tmp_path: pathlib.Path, keep: int, epochs: set[int] | None, iters: set[int] | None
) -> None:
    everywhere = {f"{label}_net_{name}.pth" for label in ("latest", "best") for name in ("G", "D", "G_ema")}
    of_epochs = {(n, f"{n}_net_{name}.pth") for n in (5, 10, 15, 20) for name in ("G", "D", "G_ema")}
    of_iters = {(n, f"iter_{n}_net_G.pth") for n in (500, 7000, 60)}
    strangers = {"5_net_notes.txt", "state.pth", "my_5_net_G.pth"}
    for name in {*everywhere, *strangers, *(name for _, name in of_epochs | of_iters)}:
        (tmp_path / name).touch()
    prune(tmp_path, keep)
    kept = {name for n, name in of_epochs if epochs is None or n in epochs}
    kept |= {name for n, name in of_iters if iters is None or n in iters}
    assert {path.name for path in tmp_path.iterdir()} == everywhere | strangers | kept


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path: pathlib.Path, value: float) -> None:
    networks: dict[str, nn.Module] = {"G": nn.Linear(2, 2), "D": nn.Linear(2, 2)}
    model = types.SimpleNamespace(networks=lambda: networks)
    saves = Saver(types.SimpleNamespace(model=model), tmp_path, SaveOptions())  # type: ignore[arg-type]
    save_networks(networks, tmp_path, "latest")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    nn.init.constant_(next(networks["D"].parameters()), value)
    with pytest.raises(UserError, match=r"step 7: weights of D are not finite.*--continue_train.*smaller --lr"):
        saves.save(at(7), {}, ["latest"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
