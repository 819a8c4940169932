"""export.py from the command line to the files: what is written, what is refused, how the docs use it."""

from __future__ import annotations

import json
import pathlib
import re
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import a2b
from commands import exporting
from commands.exporting import ExportSession
from commands.training import TrainingSession
from options.export_options import ExportOptions
from options.train_options import TrainOptions
from tests.docs.pages import ROOT, code_blocks
from util.errors import UserError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
STEM = "facades_latest_net_G"
_ALL = ["--format", "onnx,torch_export,safetensors", "--dtype", "int8,fp16,fp32"]


def export(folder: pathlib.Path, *words: object) -> ExportSession:
    """Return the session of an export.py command for a run folder."""
    where = ["--name", folder.name, "--checkpoints_dir", str(folder.parent)]
    return ExportSession(ExportOptions().parse([*where, *map(str, words)]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, aligned: pathlib.Path, tiny: list[str]) -> pathlib.Path:
    """Return a pix2pix run of one step."""
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    words = ["--model", "pix2pix", "--dataroot", aligned, "--checkpoints_dir", checkpoints, "--name", "facades", *tiny]
    words += ["--netG", "srresnet", "--n_blocks", 2, "--norm", "instance", "--max_steps", 1, "--init_gain", 0.1]
    unused = ("--no_dropout",)  # this generator has none
    TrainingSession(TrainOptions().parse([str(word) for word in words if word not in unused])).run()
    return checkpoints / "facades"


@pytest.fixture(scope="module")
def files(run: pathlib.Path) -> pathlib.Path:
    """Return the folder of an export in every format and arithmetic."""
    torch.set_num_threads(1)
    assert export(run, *_ALL, "--min_psnr", 15).run() == 0  # chance weights feel rounding more than trained ones
    return run / "export"


def fill(folder: pathlib.Path, photos: pathlib.Path, tiny: list[str], *more: str) -> pathlib.Path:
    """Return a run of one step that fills holes."""
    words = ["--model", "inpaint", "--dataroot", photos, "--checkpoints_dir", folder, "--name", "filler", *tiny]
    words += ["--netG", "resnet_6blocks", "--ngf", 2, "--lambda_GAN", 0, "--max_steps", 1, *more]
    TrainingSession(TrainOptions().parse([str(word) for word in words])).run()
    return folder / "filler"


def test_a_run_that_fills_holes_takes_image_and_mask(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: Any) -> None:
    torch.set_num_threads(1)
    run = fill(tmp_path, aligned, tiny)
    every = ("--dtype", "fp32,fp16,int8", "--min_psnr", 15)
    assert export(run, "--format", "onnx,safetensors", *every).run() == 0, "images come with masks to compare on"
    session = onnxruntime.InferenceSession(run / "export/filler_latest_net_G.onnx")
    image, mask = np.random.default_rng(0).random((1, 3, 24, 20), np.float32), np.zeros((1, 1, 24, 20), np.float32)
    mask[..., 5:9, 7:15] = 1
    (result,) = session.run(None, {session.get_inputs()[0].name: np.concatenate([image, mask], 1)})
    assert np.abs(np.where(mask > 0, image, result) - image).max() < 1e-6, "known pixels are given back"
    assert np.abs(result - image).max() > 0.01
    assert session.get_modelmeta().custom_metadata_map["channels"].endswith("mask: 1 in holes, 0 elsewhere")


def test_a_hole_that_begins_smoothly_is_refused(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: Any) -> None:
    with pytest.raises(UserError, match="Inpaint cannot be exported: --hole_start smooth"):
        export(fill(tmp_path, aligned, tiny, "--hole_start", "smooth"), "--format", "onnx").run()


def test_every_file_is_written_and_in_the_table(files: pathlib.Path) -> None:
    wanted = {
        f"{STEM}{end}" for end in (".onnx", "_fp16.onnx", "_int8.onnx", ".pt2", ".safetensors", "_fp16.safetensors")
    }
    assert {path.name for path in files.iterdir()} == wanted | {f"{STEM}_export.json"}
    report = json.loads((files / f"{STEM}_export.json").read_text())
    rows = {row["file"]: row for row in report["files"]}
    assert rows.keys() == wanted | {"the run"}
    assert all(row["max_error"] <= 5e-5 for row in rows.values() if row["dtype"] == "fp32" and row["file"] != "the run")
    assert rows[f"{STEM}_fp16.onnx"]["psnr"] > rows[f"{STEM}_int8.onnx"]["psnr"] >= 15
    assert all(row["ms"] > 0 for row in rows.values() if row["format"] != "safetensors")
    assert rows[f"{STEM}.onnx"]["megabytes"] == pytest.approx((files / f"{STEM}.onnx").stat().st_size / 1e6)
    assert "2 images of the test split" in " ".join(report["notes"])


def test_onnx_says_what_it_takes_and_nothing_of_this_machine(files: pathlib.Path) -> None:
    for name, dtype in ((f"{STEM}.onnx", "fp32"), (f"{STEM}_fp16.onnx", "fp16"), (f"{STEM}_int8.onnx", "int8")):
        proto = onnx.load(files / name)
        facts = {entry.key: entry.value for entry in proto.metadata_props}
        assert facts["dtype"] == dtype
        assert (facts["input_range"], facts["output_range"], facts["scale"]) == ("0.0 255.0", "0.0 255.0", "1")
        assert facts["source"] == "facades, latest_net_G.pth"
        sizes = [dim.dim_param or dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
        assert (proto.graph.input[0].name, sizes) == ("image", ["batch", 3, "height", "width"])
        content = (files / name).read_bytes()
        assert str(ROOT).encode() not in content and b"site-packages" not in content


def test_int8_leaves_norms_and_the_outer_layers_in_float(files: pathlib.Path) -> None:
    graph = onnx.load(files / f"{STEM}_int8.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    fed = {}
    for node in graph.node:
        fed.setdefault(node.op_type, []).append(made_by.get(node.input[0]) == "DequantizeLinear")
    assert fed["Conv"] == [False, *[True] * (len(fed["Conv"]) - 2), False]
    assert len(fed["Conv"]) == 7 and "InstanceNormalization" in fed and "Add" in fed


def test_weights_keep_their_keys_and_load_again(files: pathlib.Path, run: pathlib.Path) -> None:
    from safetensors import safe_open

    original = torch.load(run / "latest_net_G.pth", weights_only=True)
    with safe_open(files / f"{STEM}.safetensors", "pt") as saved:
        assert saved.metadata()["output_nc"] == "3"
        assert set(saved.keys()) == set(original)
        assert {key: saved.get_tensor(key).tolist() for key in original} == {k: v.tolist() for k, v in original.items()}
    array = np.random.default_rng(0).integers(0, 255, (20, 27, 3), dtype=np.uint8)
    again = a2b.load(files / f"{STEM}.safetensors", gpu_ids="-1")
    assert np.array_equal(again(array), a2b.load(run, gpu_ids="-1")(array))


def test_the_snippets_of_the_docs_do_what_a2b_does(
    files: pathlib.Path, run: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.random.default_rng(1).integers(0, 255, (37, 51, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    expected = a2b.load(run, gpu_ids="-1")(photo).astype(int)
    first, second = code_blocks(ROOT / "docs" / "export.md", "python")
    exec(compile(first, "export.md", "exec"), {})
    found = np.asarray(Image.open("translated.png")).astype(int)
    assert np.abs(found - expected).max() <= 1 and (found == expected).mean() > 0.99
    names: dict[str, torch.Tensor] = {"image": torch.from_numpy(photo).permute(2, 0, 1)[None] / 255}
    exec(compile(second, "export.md", "exec"), names)
    again = (names["result"][0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(again - expected).max() <= 1


def test_int8_below_the_limit_leaves_no_file_and_one_line(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    left = tmp_path / f"{STEM}_int8.onnx"
    left.write_bytes(b"of an earlier export")
    with pytest.raises(UserError, match=rf"{STEM}_int8.onnx is not kept: \d+\.\d dB PSNR .* --min_psnr 190") as caught:
        export(run, "--dtype", "int8", "--min_psnr", 190, "--output", tmp_path).run()
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == [f"{STEM}_export.json"]


def test_int8_is_not_judged_on_what_it_was_calibrated_on(run: pathlib.Path, aligned: pathlib.Path) -> None:
    session = export(run, "--dtype", "int8", "--calibration", aligned / "test", "--test", aligned / "test")
    with pytest.raises(UserError, match="2 of the 2 images of --test are among those of --calibration"):
        session.run()


@pytest.mark.parametrize("flag", ["calibration", "test"])
def test_a_folder_that_is_not_there_is_named_with_its_flag(run: pathlib.Path, aligned: pathlib.Path, flag: str) -> None:
    folders = {"calibration": aligned / "train", "test": aligned / "test", flag: "no/such/place"}
    words = [word for name, folder in folders.items() for word in (f"--{name}", folder)]
    with pytest.raises(UserError, match=f"^--{flag} no/such/place: no such folder"):
        export(run, "--dtype", "int8", *words).run()


def test_a_data_set_that_moved_is_asked_for(run: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.export_images.recorded", lambda folder, flag: "no/such/place")
    session = export(run, "--dtype", "int8")
    with pytest.raises(
        UserError, match="no/such/place is not there; name it by --dataroot, or a folder by --calibration"
    ):
        session.run()


def test_weights_without_a_data_set_need_folders(
    run: pathlib.Path, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "latest_net_G.pth").write_bytes((run / "latest_net_G.pth").read_bytes())
    with pytest.raises(UserError, match="name it by --dataroot, or a folder by --calibration"):
        export(folder, "--dtype", "int8").run()
    with pytest.raises(UserError, match="nothing says which images it was trained on"):
        export(folder, "--dtype", "int8", "--dataroot", aligned / "test").run()
    session = export(folder, "--test", aligned / "test")
    assert len(session.images.test()) == 2


def test_images_are_those_of_the_side_that_the_generator_translates(
    unaligned: pathlib.Path, tmp_path: pathlib.Path, tiny: list[str], train: Callable[..., int]
) -> None:
    where = ["--dataroot", unaligned, "--checkpoints_dir", tmp_path, "--name", "run", "--max_steps", 1]
    train("--model", "cycle_gan", *where, *tiny, "--value_range", "0,255/0,200")
    for direction, letter, span in (("AtoB", "A", "0.0 200.0"), ("BtoA", "B", "0.0 255.0")):
        session = export(tmp_path / "run", "--direction", direction, "--num_images", 1)
        (first,) = session.images.test()
        pixels = np.asarray(Image.open(unaligned / f"test{letter}" / "00.png")).transpose(2, 0, 1)[None]
        scale = 255 if letter == "A" else 200
        np.testing.assert_allclose(first.numpy(), pixels / scale, atol=1e-5)
        assert session._description().output_range == span
        assert session._stem() == f"run_latest_net_G_{letter}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "onx"], "--format 'onx' is unknown; did you mean onnx"),
        (["--dtype", "fp8"], "--dtype 'fp8' is unknown"),
        (
            ["--format", "torch_export", "--dtype", "int8"],
            "--dtype int8 is not for --format torch_export; add --format onnx",
        ),
        (["--opset", "9"], "--opset 9 is too small; the least is 18"),
        (["--name", "nobody"], "no such run"),
        (["--epoch", "7"], "7_net_G.pth: no such weights"),
    ],
)
def test_mistakes_are_one_line(run: pathlib.Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        if "--name" in words:
            ExportOptions().parse(words)
        export(run, *words)
    assert "\n" not in str(caught.value)


def test_a_missing_package_gets_the_command_that_brings_it(run: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(UserError, match=re.escape("needs onnxscript: pip install -r requirements-export.txt")):
        exporting.check_packages(["onnx"])
    exporting.check_packages(["torch_export", "safetensors"])


def test_a_folder_that_cannot_be_written_to_is_one_line(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written to .*--output"):
        export(run, "--format", "safetensors", "--output", tmp_path / "file").run()


@pytest.mark.parametrize("form", ["torch_export", "safetensors"])
def test_a_disk_that_fills_up_is_one_line(run: pathlib.Path, tmp_path: pathlib.Path, form: str) -> None:
    """A limit of a file's size stands for the disk's."""
    resource = pytest.importorskip("resource", reason="this system has no limit of a file's size")
    session = export(run, "--format", form, "--output", tmp_path / "out")
    before, sent = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        with pytest.raises(UserError, match="out: cannot be written to .*; name a folder with room by --output"):
            session.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, sent)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_export_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KeyboardInterrupt), exporting.staging(tmp_path) as folder:
        (folder / "half.onnx").write_bytes(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
