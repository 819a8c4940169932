"""Patches that know their photograph: trained, resumed, tested without flags, in tiles and files, and refused."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from commands.build import build_model
from commands.exporting import ExportSession
from commands.testing import TestingSession
from data.readers import read_info
from inference.domain import Domain
from inference.large import LargeFile
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from inference.tiling.informed import starts
from models.base import TranslationModel
from options.export_options import ExportOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.conftest import Words
from util.errors import UserError

SEES = {
    "context": "--context image",
    "places": "--coordinates --input_norms range,image,local,log --residual",
    "smaller": "--work_scale 2 --coordinates",
}
CPU = torch.device("cpu")


def picture(height: int = 50, width: int = 75) -> torch.Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 2 - 1


def flags(sees: str, *more: object) -> list[str]:
    text = "--model pix2pix --netG resnet_6blocks --ngf 2 --ndf 2 --no_dropout --gpu_ids -1 --preprocess crop"
    return [*text.split(), "--crop_size", "16", *sees.split(), *map(str, more)]


def opened(sees: str, norm: str = "none") -> TranslationModel:
    """Return a method whose generator uses all of its input."""
    model = build_model(TrainOptions().parse(flags(sees, "--dataroot", ".", "--norm", norm)), train=False)
    random = torch.Generator().manual_seed(0)
    for parameter in model.networks()["G"].parameters():
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, 0, parameter[0].numel() ** -0.5, generator=random)
    return model


@pytest.mark.parametrize("sees", SEES.values(), ids=list(SEES))
@pytest.mark.parametrize("norm", ["none", "instance"])
def test_tiles_are_the_whole_image(sees: str, norm: str) -> None:
    model, image = opened(sees, norm), {"A": picture()}
    whole = Predictor(model, CPU)(image)["fake_B"]
    tiled = Predictor(model, CPU, options=InferenceOptions(tile_size=16))(image)["fake_B"]
    assert whole.shape == (1, 3, 50, 75) and (whole - image["A"]).std() > 0.01
    torch.testing.assert_close(tiled, whole, atol=1e-4 if norm == "none" else 0.02, rtol=0)  # random norms amplify


@pytest.mark.parametrize("sees", SEES.values(), ids=list(SEES))
@pytest.mark.parametrize("tta", ["none", "x8"])
def test_a_file_in_parts_is_the_image_in_memory(sees: str, tta: str, tmp_path: pathlib.Path) -> None:
    pixels = ((picture()[0].permute(1, 2, 0) * 0.5 + 0.5) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "in.png")
    predictor = Predictor(opened(sees), CPU, options=InferenceOptions(tta=tta))
    domain, info = Domain.whole("uint8", 3), read_info(tmp_path / "in.png")
    LargeFile(predictor, tmp_path / "in.png", info, (domain, domain), (3, 3)).translate(tmp_path / "out.png")
    source = torch.from_numpy(domain.range.normalize(pixels)).permute(2, 0, 1)[None]
    expected = domain.range.restore(predictor({"A": source})["fake_B"][0].permute(1, 2, 0).numpy()).clip(0, 255)
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png")) - expected).max() < 0.6


def test_a_context_reaches_across_the_whole_photograph_and_others_do_not() -> None:
    image = picture(48, 64)
    changed = image.clone()
    changed[..., -8:, -8:] = 1
    for sees, reaches in (("--context image", True), ("--coordinates", False)):
        predictor = Predictor(opened(sees), CPU)
        difference = predictor({"A": changed})["fake_B"] - predictor({"A": image})["fake_B"]
        assert bool((difference[..., :4, :4].abs() > 1e-5).any()) is reaches


def test_patches_cover_every_size_and_overlap() -> None:
    for size in range(1, 90):
        begins = starts(size, 16)
        assert begins[0] == 0 and begins[-1] == max(0, size - 16)
        assert all(0 < b - a <= 8 for a, b in itertools.pairwise(begins))


def test_a_generator_that_copies_leaves_no_trace_of_its_patches() -> None:
    model = build_model(TrainOptions().parse(flags("--context image --residual", "--dataroot", ".")), train=False)
    image = picture()
    torch.testing.assert_close(Predictor(model, CPU)({"A": image})["fake_B"], image, atol=1e-6, rtol=0)


def test_a_run_remembers_what_its_generator_sees_and_resumes_exactly(
    train: Callable[..., int], tiny: Words, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    sees = "--context image --coordinates --input_norms range,local --residual --rot90 --flip_vertical"
    words = [*flags(sees), *tiny, "--preprocess", "crop", "--crop_size", "24", "--dataroot", aligned]
    words += ["--checkpoints_dir", tmp_path]
    words += ["--n_epochs_decay", "0", "--display_freq", "2"]
    assert train(*words, "--name", "whole", "--n_epochs", "2") == 0
    assert train(*words, "--name", "parts", "--n_epochs", "1") == 0
    again = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, "--gpu_ids", "-1", "--continue_train"]
    assert train(*again, "--name", "parts", "--n_epochs", "2") == 0
    first, second = (torch.load(tmp_path / name / "latest_net_G.pth") for name in ("whole", "parts"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first["model.1.weight"].shape[1] == 3 * 2 + 2 + 4
    ours = ["--name", "whole", "--checkpoints_dir", tmp_path, "--gpu_ids", "-1"]
    tested = [*ours, "--dataroot", aligned, "--results_dir", tmp_path / "results"]
    assert TestingSession(TestOptions().parse([str(word) for word in tested])).run() == 0
    made = sorted((tmp_path / "results").rglob("*fake_B.png"))
    assert [Image.open(path).size for path in made] == [(32, 32)] * 2, "whole images, not patches"
    with pytest.raises(UserError, match="--context none: the run in .* was made with --context image"):
        TestOptions().parse([str(word) for word in [*tested, "--context", "none"]])
    _check_export(ours, tmp_path)


def _check_export(run: list[object], folder: pathlib.Path) -> None:
    words = [*run[:4], "--format", "torch_export", "--output", folder / "files"]
    assert ExportSession(ExportOptions().parse([str(word) for word in words])).run() == 0
    (path,) = (folder / "files").glob("*.pt2")
    noted = {"a2b.json": ""}
    program = torch.export.load(path, extra_files=noted)
    assert json.loads(noted["a2b.json"])["channels"].endswith("row, column, whole 1, whole 2, whole 3, location")
    assert program.module()(torch.rand(1, 12, 16, 16)).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--model cycle_gan --context image", "--dataset_mode unaligned gives images alone"),
        ("--model pix2pix --context image --preprocess none", "use --preprocess crop"),
        ("--model levels --coordinates", "images of domain A alone"),
        ("--model semi --dataset_mode semi --dir_U train --lambda_cycle 1 --coordinates", "without --lambda_cycle"),
        ("--model sr --dataset_mode super_resolution --scale 2 --work_scale 2", "EDSR enlarges 2 times"),
        ("--model sr --dataset_mode super_resolution --scale 2 --coordinates", "super_resolution gives images alone"),
        ("--model pix2pix --residual --output_nc 1", "3 channels and the output 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: str, reason: str, train: Callable[..., int], aligned: pathlib.Path, unaligned: pathlib.Path
) -> None:
    root = unaligned if "cycle_gan" in words else aligned
    sizes = ["--crop_size", "16"] if "sr" in words else ["--preprocess", "crop", "--crop_size", "16"]
    with pytest.raises(UserError, match=reason):
        train("--dataroot", root, "--gpu_ids", "-1", "--ngf", "2", "--ndf", "2", *sizes, *words.split())
