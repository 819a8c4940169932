"""The HTTP API in this process: parity with a2b.load, jobs, clear refusals, a description of itself."""

from __future__ import annotations

import copy
import io
import json
import pathlib
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi", reason="the server's libraries are not installed: requirements-serve.txt")
from fastapi.testclient import TestClient

import a2b
from inference.server.app import make_app
from inference.server.runs import ServedRun
from inference.server.service import Service
from tests.inference.server.conftest import from_png, pixels, png
from tests.inference.server.test_uploads import bomb, zipped

WAIT = 60
LOCAL = "http://localhost"


@pytest.fixture(scope="module")
def client(make_shared_service: Callable[..., Service]) -> Iterator[TestClient]:
    service = make_shared_service(max_upload=1, max_pixels=200_000, max_files=5)
    with TestClient(make_app(service, service.options), LOCAL, raise_server_exceptions=False) as client:
        yield client


def translate(client: TestClient, content: bytes, name: str = "photo.png", **form: str) -> Any:
    return client.post("/api/translate", files={"image": (name, content)}, data={"run": "colour"} | form)


def holed() -> tuple[np.ndarray, np.ndarray]:
    """Return an image, and its hole (H,W)."""
    hole = np.zeros((33, 47), bool)
    hole[5:15, 9:30] = True
    return pixels(33, 47), hole


def mask_file(hole: np.ndarray) -> bytes:
    return png(hole[..., None].astype(np.uint8) * 255)


def erased(image: np.ndarray, hole: np.ndarray) -> bytes:
    """Return a PNG that is transparent in the hole."""
    values = np.dstack([image[..., ::-1], np.where(hole, 0, 255).astype(np.uint8)])
    return cv2.imencode(".png", values)[1].tobytes()


def test_a_hole_is_filled_by_its_mask_or_where_the_image_is_transparent(client: TestClient) -> None:
    image, hole = holed()
    files = {"image": ("photo.png", png(image)), "mask": ("m.png", mask_file(hole))}
    answer = client.post("/api/translate", files=files, data={"run": "filler"})
    result = from_png(answer.content)
    assert np.array_equal(result[~hole], image[~hole]) and not np.array_equal(result[hole], image[hole])
    again = translate(client, erased(image, hole), run="filler")
    assert np.array_equal(from_png(again.content), result)


@pytest.mark.parametrize(
    ("run", "mask", "status", "words"),
    [
        ("filler", None, 422, "where is the hole"),
        ("colour", mask_file(holed()[1]), 422, "colour fills no holes"),
        ("filler", mask_file(holed()[1][:20]), 422, "m.png: 47x20 pixels, and photo.png has 47x33"),
        ("filler", b"GIF89a", 415, "m.png: not an image"),
        ("filler", png(pixels(500, 500, 1)), 413, "m.png: 500x500"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    client: TestClient, run: str, mask: bytes | None, status: int, words: str
) -> None:
    files = {"image": ("photo.png", png(holed()[0]))} | ({"mask": ("m.png", mask)} if mask else {})
    answer = client.post("/api/translate", files=files, data={"run": run})
    assert answer.status_code == status and words in answer.json()["error"]


def test_a_batch_has_a_mask_for_each_image(client: TestClient) -> None:
    image, hole = holed()
    photos = [("images", (f"{i}.png", png(image))) for i in range(2)]
    masks = [("masks", ("a.png", mask_file(hole))), ("masks", ("b.png", mask_file(hole[:, ::-1])))]
    started = client.post("/api/jobs", files=[*photos, *masks], data={"run": "filler"})
    key = started.json()["id"]
    finished(client, key)
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/jobs/{key}/result").content)) as archive:
        results = [from_png(archive.read(f"000{i + 1}_{i}.png")) for i in range(2)]
    for result, own in zip(results, (hole, hole[:, ::-1]), strict=True):
        assert np.array_equal(result[~own], image[~own]) and not np.array_equal(result[own], image[own])
    client.delete(f"/api/jobs/{key}")
    few = client.post("/api/jobs", files=[*photos, masks[0]], data={"run": "filler"})
    assert few.status_code == 400 and "2 images and 1 masks" in few.json()["error"]


def tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb" if values.shape[2] == 3 else "minisblack")
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(("run", "channels"), [("colour", 3), ("grey", 1)])
def test_an_image_comes_back_as_load_gives_it(
    client: TestClient, runs_dir: pathlib.Path, run: str, channels: int, dtype: str
) -> None:
    image = pixels(33, 47, channels, dtype)
    answer = translate(client, png(image), run=run)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    result = from_png(answer.content)
    assert result.dtype == dtype
    assert np.array_equal(result, a2b.load(runs_dir / run, gpu_ids="-1")(image))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_stays_tiff(client: TestClient, runs_dir: pathlib.Path, dtype: str) -> None:
    image = pixels(dtype=dtype)
    answer = translate(client, tiff(image), "a photo.tiff")
    assert answer.headers["content-type"] == "image/tiff"
    assert 'filename="a photo.tif"' in answer.headers["content-disposition"] or "a%20photo.tif" in str(answer.headers)
    result = tifffile.imread(io.BytesIO(answer.content))
    assert result.dtype == dtype and np.array_equal(result, a2b.load(runs_dir / "colour", gpu_ids="-1")(image))


def test_npy_stays_npy(client: TestClient, runs_dir: pathlib.Path) -> None:
    image, buffer = pixels(dtype="float32"), io.BytesIO()
    np.save(buffer, image)
    result = np.load(io.BytesIO(translate(client, buffer.getvalue()).content))
    assert np.array_equal(result, a2b.load(runs_dir / "colour", gpu_ids="-1")(image))


def test_jpeg_is_answered_without_loss(client: TestClient, runs_dir: pathlib.Path) -> None:
    content = cv2.imencode(".jpg", pixels())[1].tobytes()
    answer = translate(client, content, "photo.jpg")
    assert 'filename="photo.png"' in answer.headers["content-disposition"]
    image = cv2.imdecode(np.frombuffer(content, np.uint8), 1)[..., ::-1]
    assert np.array_equal(from_png(answer.content), a2b.load(runs_dir / "colour", gpu_ids="-1")(image.copy()))


def test_another_kind_on_request(client: TestClient) -> None:
    image = png(pixels(dtype="uint16"))
    same = from_png(translate(client, image).content)
    assert np.array_equal(tifffile.imread(io.BytesIO(translate(client, image, output="tif").content)), same)
    assert np.array_equal(np.load(io.BytesIO(translate(client, image, output="npy").content)), same)


def test_a_translated_image_leaves_nothing_behind(client: TestClient) -> None:
    assert translate(client, png(pixels())).status_code == 200
    assert client.get("/api/health").json() == {"status": "ok", "devices": 1, "waiting": 0, "jobs": 0}


@pytest.mark.parametrize(
    ("content", "form", "status", "words"),
    [
        (bomb(), {}, 413, "50000x50000"),
        (png(pixels(500, 500)), {}, 413, "500x500 pixels; this server takes 200,000"),
        (b"MZ" + bytes(100), {}, 415, "not an image by its content"),
        (png(pixels())[:-99], {}, 422, "not a readable image"),
        (bytes(1_100_000), {}, 413, "larger than 1 MB"),
        (zipped({"a.png": png(pixels()), "b.png": png(pixels())}), {}, 413, "more than 1 images"),
        (png(pixels()), {"run": "../grey"}, 404, "no run '../grey' here"),
        (png(pixels()), {"run": "colours"}, 404, "did you mean colour"),
        (png(pixels()), {"run": "/etc/passwd"}, 404, "there are colour, grey, filler"),
        (png(pixels()), {"output": "exe"}, 422, "output: "),
        (png(pixels(dtype="uint16")), {"output": "../x"}, 422, "output: "),
        (tiff(pixels(dtype="float32")), {"output": "png"}, 422, "photo.png: PNG cannot hold"),
    ],
)
def test_refusals_are_one_line(
    client: TestClient, content: bytes, form: dict[str, str], status: int, words: str
) -> None:
    answer = translate(client, content, **form)
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]
    assert words in message and "\n" not in message and "/tmp" not in message
    assert client.get("/api/health").json()["jobs"] == 0


def test_hostile_names_come_back_harmless(client: TestClient) -> None:
    answer = translate(client, png(pixels()), '../../"evil\r\nX-Bad: 1.png')
    assert answer.status_code == 200 and "x-bad" not in answer.headers
    assert ".." not in answer.headers["content-disposition"] and "/" not in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/jobs/../../etc/passwd", "/api/jobs/unknown", "/api/jobs/x/result"]
)
def test_unknown_addresses_say_so(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404 and "error" in answer.json()


def test_a_run_must_be_named_where_there_are_several(client: TestClient) -> None:
    answer = client.post("/api/translate", files={"image": png(pixels())})
    assert (answer.status_code, answer.json()) == (400, {"error": "name the run: one of colour, grey, filler"})


def test_a_missing_image_is_said(client: TestClient) -> None:
    answer = client.post("/api/translate", data={"run": "colour"})
    assert (answer.status_code, answer.json()) == (422, {"error": "image: field required"})


def test_runs_are_listed(client: TestClient) -> None:
    listed = {run["name"]: run for run in client.get("/api/runs").json()}
    assert set(listed) == {"colour", "grey", "filler"}
    assert listed["filler"]["fills_holes"] and not listed["grey"]["fills_holes"]
    assert listed["filler"]["input_channels"] == 3, "the mask is no part of the image"
    assert (listed["grey"]["input_channels"], listed["colour"]["output_channels"]) == (1, 3)
    assert not listed["grey"]["brightness_alone"]


def test_a_run_on_brightness_says_that_it_takes_colour(devices: list[dict[str, ServedRun]]) -> None:
    translator = copy.copy(devices[0]["grey"].translator)
    translator.luma = True
    run = ServedRun("brightness", translator).describe()
    assert (run["input_channels"], run["output_channels"], run["brightness_alone"]) == (3, 3, True)
    colour = pixels(20, 30)
    assert translator(colour).shape == colour.shape and translator(colour[..., :1]).shape == (20, 30, 1)


def finished(client: TestClient, job: str) -> dict[str, Any]:
    end = time.monotonic() + WAIT
    while (status := client.get(f"/api/jobs/{job}").json())["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.05)
    return status


def test_a_batch_becomes_a_zip(client: TestClient, runs_dir: pathlib.Path) -> None:
    images = [pixels(seed=seed) for seed in range(3)]
    files = [("images", ("x.zip", zipped({"same.png": png(images[0]), "d/same.png": png(images[1])})))]
    files += [("images", ("last.png", png(images[2]))), ("images", ("cut.png", png(images[0])[:-50]))]
    answer = client.post("/api/jobs", files=files, data={"run": "colour"})
    assert answer.status_code == 202
    status = finished(client, answer.json()["id"])
    assert (status["total"], status["done"], status["failed"]) == (4, 3, 1)
    assert "cut.png: not a readable image" in status["errors"]["0004_cut.png"]
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/api/jobs/{status['id']}/result").content))
    assert archive.namelist() == ["0001_same.png", "0002_same.png", "0003_last.png", "status.json"]
    assert json.loads(archive.read("status.json"))["failed"] == 1
    load = a2b.load(runs_dir / "colour", gpu_ids="-1")
    for name, image in zip(archive.namelist(), images, strict=False):
        assert np.array_equal(from_png(archive.read(name)), load(image))
    assert client.delete(f"/api/jobs/{status['id']}").status_code == 204
    assert client.get(f"/api/jobs/{status['id']}").status_code == 404


def test_too_many_images_are_refused(client: TestClient) -> None:
    files = [("images", (f"{n}.png", png(pixels(16, 16)))) for n in range(6)]
    answer = client.post("/api/jobs", files=files, data={"run": "colour"})
    assert answer.status_code == 413 and "more than 5 images" in answer.json()["error"]


def test_the_result_of_an_unfinished_job_is_not_there_yet(client: TestClient) -> None:
    files = [("images", (f"{n}.png", png(pixels(200, 200)))) for n in range(5)]
    job = client.post("/api/jobs", files=files, data={"run": "colour"}).json()
    answer = client.get(f"/api/jobs/{job['id']}/result")
    assert answer.status_code == 409 and "ask again" in answer.json()["error"]
    assert client.delete(f"/api/jobs/{job['id']}").status_code == 204


def test_the_api_describes_itself(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        *("/api/health", "/api/runs", "/api/translate", "/api/classify", "/api/jobs", "/api/jobs/{job_id}"),
        "/api/jobs/{job_id}/result",
    }
    assert "image/png" in described["paths"]["/api/translate"]["post"]["responses"]["200"]["content"]
    assert client.get("/docs").status_code == 404, "that page would load its scripts from elsewhere"
