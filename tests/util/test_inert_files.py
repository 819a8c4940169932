"""Files that hold more than tensors are read without running what they ask for."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import sys
import types
import warnings
import zipfile
from typing import Any

import pytest
import torch
from torch import nn

from models.networks.foreign import load_weights
from util.errors import UserError
from util.inert_files import is_foreign_archive, load_inert


class Callback:
    """A class of the program that wrote a checkpoint."""


class Evil:
    def __init__(self, target: pathlib.Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the class come from a module that readers do not have."""
    module = types.ModuleType("pytorch_lightning")
    module.Callback = Callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", module)
    monkeypatch.setattr(Callback, "__module__", "pytorch_lightning")


def small() -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2)))
    network[1][0].running_mean.uniform_(-1, 1)
    return network.eval()


def test_a_lightning_checkpoint_gives_its_weights(lightning: None, tmp_path: pathlib.Path) -> None:
    state, path = small().state_dict(), tmp_path / "best.ckpt"
    state["half"] = torch.arange(6).half().view(2, 3).t()
    content = {"state_dict": state, "callbacks": {Callback: {"best": Callback()}}, "epoch": 3}
    torch.save(content, path)
    del sys.modules["pytorch_lightning"]
    assert is_foreign_archive(path)
    found = load_weights(path)
    assert list(found) == list(state)
    for key, value in state.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value)


def test_a_torchscript_program_gives_its_weights(tmp_path: pathlib.Path) -> None:
    network, path = small(), tmp_path / "network.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is an old format
        torch.jit.trace(network, torch.zeros(1, 1, 5, 5)).save(path)
    found = load_weights(path)
    assert set(found) == set(network.state_dict())
    for key, value in network.state_dict().items():
        assert torch.equal(found[key], value), key


def test_code_in_a_file_does_not_run(lightning: None, tmp_path: pathlib.Path) -> None:
    trace, path = tmp_path / "it_ran", tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(2), "evil": Evil(trace)}, "callbacks": Callback()}, path)
    assert is_foreign_archive(path)
    with pytest.raises(UserError, match="holds no state dict of tensors"):
        load_weights(path)
    content = load_inert(path)
    assert torch.equal(content["state_dict"]["weight"], torch.ones(2)) and not trace.exists()


def test_only_tensors_are_made_of_what_torch_has(tmp_path: pathlib.Path) -> None:
    """torch.load would run the code of another file, whatever it is called here."""
    path = tmp_path / "evil.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02ctorch\nload\nX\x11\x00\x00\x00pytorch_lightning\x85R.")
    assert is_foreign_archive(path)
    with pytest.raises(UserError):
        load_weights(path)
    assert load_inert(path) == {}


def test_plain_weights_are_not_read_this_way(tmp_path: pathlib.Path) -> None:
    torch.save(small().state_dict(), tmp_path / "plain.pth")
    assert not is_foreign_archive(tmp_path / "plain.pth")
    (tmp_path / "text.pth").write_text("pytorch_lightning")
    assert not is_foreign_archive(tmp_path / "text.pth")


@pytest.mark.parametrize("fault", ["beyond", "no_storage", "cut"])
def test_hostile_tensors_are_refused(lightning: None, tmp_path: pathlib.Path, fault: str) -> None:
    path = tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(2, 3)}, "callbacks": Callback()}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    (entry,) = (name for name in members if name.endswith("data.pkl"))
    if fault == "beyond":
        members[entry] = members[entry].replace(b"K\x02K\x03\x86", b"K\x7fK\x7f\x86")
    elif fault == "no_storage":
        members = {name: content for name, content in members.items() if not name.endswith("data/0")}
    else:
        members[entry] = members[entry][: len(members[entry]) // 2] + b"pytorch_lightning"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_weights(path)


def test_a_pickle_of_another_kind_is_still_refused(tmp_path: pathlib.Path) -> None:
    path, buffer = tmp_path / "evil.pth", io.BytesIO()
    pickle.dump(Evil(tmp_path / "it_ran"), buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError):
        load_weights(path)
    assert not (tmp_path / "it_ran").exists()
