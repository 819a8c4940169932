"""Naming what images show by a run of --model classify, over HTTP and on the page."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi", reason="the server's libraries are not installed: requirements-serve.txt")
from fastapi.testclient import TestClient

from commands.build import build_model
from commands.serving import ServingSession
from data.value_range import ValueRange
from inference.server.app import make_app
from inference.server.comparison import Outcome
from inference.server.jobs import Task
from inference.server.naming import Names
from inference.server.runs import ServedRun
from inference.server.service import Service
from inference.server.settings import ServerOptions
from models.files import save_networks
from options.saved import save_options
from options.serve_options import ServeOptions
from options.train_options import TrainOptions
from tests.inference.server.conftest import pixels, png
from util.errors import UserError

CLASSES = ("level_100", "level_200", "level_400")


@pytest.fixture(scope="module")
def classes(runs_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the runs "colour", and "levels", whose class follows from the image's brightness."""
    folder = tmp_path_factory.mktemp("classes")
    (folder / "colour").symlink_to(runs_dir / "colour")
    network = ["--classes", ",".join(CLASSES), "--class_encoder", "test_convnext", "--input_nc", "1"]
    options = TrainOptions().parse(["--dataroot", ".", "--model", "classify", *network, "--gpu_ids", "-1"])
    (folder / "levels").mkdir()
    save_options(options, folder / "levels", "train")
    torch.manual_seed(0)
    save_networks(build_model(options, train=False).networks(), folder / "levels", "latest")
    return folder


@pytest.fixture(scope="module")
def names(classes: pathlib.Path) -> Names:
    return open_names(classes, "levels")


def open_names(folder: pathlib.Path, run: str) -> Names:
    words = ["--name", "colour", "--checkpoints_dir", str(folder), "--gpu_ids", "-1", "--page", "false"]
    found = ServingSession(ServeOptions().parse([*words, "--classifier_run", run]))._classifier()
    assert found is not None
    return found


@pytest.fixture
def client(devices: list[dict[str, ServedRun]], names: Names) -> Iterator[TestClient]:
    service = Service(devices, ServerOptions(page=False), names)
    with TestClient(make_app(service, service.options), "http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_the_run_says_its_own_classes(names: Names) -> None:
    """What is most probable is what the run itself would write."""
    grey = pixels(40, 52, 1)
    found = names(grey)
    assert set(found) == set(CLASSES) and sum(found.values()) == pytest.approx(1)
    assert list(found.values()) == sorted(found.values(), reverse=True) and len(names(grey, top=2)) == 2
    with pytest.raises(UserError, match="channels"):
        names(pixels(40, 52, 5))


def test_images_are_named_over_http(client: TestClient, names: Names) -> None:
    image = pixels(40, 52, 1)
    answer = client.post("/api/classify", files={"image": ("photo.png", png(image))})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == pytest.approx(names(image))
    assert client.get("/api/health").json()["jobs"] == 0
    refused = client.post("/api/classify", files={"image": ("photo.png", b"GIF89a")})
    assert refused.status_code == 415 and "photo.png: not an image" in refused.json()["error"]
    reached = client.post("/api/translate", files={"image": ("photo.png", png(image))}, data={"run": "/classify"})
    assert reached.status_code == 404 and "/classify" not in [run["name"] for run in client.get("/api/runs").json()]


def test_a_server_without_a_classifier_says_so(make_service: Callable[..., Service]) -> None:
    service = make_service()
    with TestClient(make_app(service, service.options), "http://localhost") as client:
        answer = client.post("/api/classify", files={"image": ("photo.png", png(pixels()))})
    assert answer.status_code == 404 and "without a classifier" in answer.json()["error"]


def test_the_page_shows_the_run_whole_files_and_not_their_pictures(
    devices: list[dict[str, ServedRun]], names: Names
) -> None:
    pytest.importorskip("gradio", reason="the server's libraries are not installed: requirements-serve.txt")
    from inference.server.page_actions import Actions

    deep, shown = pixels(40, 60, 1, "uint16"), np.zeros((40, 60, 3), np.uint8)
    task = SimpleNamespace(seconds=0.1, job=SimpleNamespace(run="grey"))
    outcome = Outcome(cast(Task, task), deep, ValueRange(0, 65535), shown, shown)
    service = cast(Service, SimpleNamespace(runs=devices[0], classifier=names))
    best, share = next(iter(names(deep).items()))
    lines = Actions(service)._report([outcome], deep, None, True).splitlines()
    assert [line for line in lines if line.startswith(f"| grey | {best} {100 * share:.0f} %")]


def test_a_run_that_is_no_classifier_is_refused_in_one_line(classes: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--classifier_run colour: .*name one of --model classify") as error:
        open_names(classes, "colour")
    assert "\n" not in str(error.value)
