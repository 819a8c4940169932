"""a2b.load: a run or a weight file, then images in, images of the same kind out."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import a2b
from data.sample import _TOLD
from models.files import save_networks
from util.errors import UserError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with bare generators under the established names, and no options."""
    folder = tmp_path_factory.mktemp("checkpoints") / "foreign"
    folder.mkdir()
    small = {"ngf": 4, "init_gain": 0.3}
    colour = a2b.build_generator("resnet_6blocks", **small, norm="batch", no_dropout=True)
    back = a2b.build_generator("resnet_6blocks", seed=1, **small, norm="batch", no_dropout=True)
    grey = a2b.build_generator("unet_128", 1, 1, ngf=2, norm="batch", init_gain=0.3)
    save_networks({"G_A": colour, "G_B": back}, folder, "latest")
    save_networks({"G": grey}, folder.parent, "grey")
    return folder


def pixels(height: int, width: int, channels: int = 0, dtype: str = "uint8") -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    return (np.random.default_rng(0).random(shape) * top).astype(dtype)


@pytest.fixture(scope="module")
def colour(weights: pathlib.Path) -> a2b.Translator:
    return a2b.load(weights / "latest_net_G_A.pth", gpu_ids="-1")


@pytest.fixture(scope="module")
def grey(weights: pathlib.Path) -> a2b.Translator:
    return a2b.load(weights.parent / "grey_net_G.pth", gpu_ids="-1")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_colour_images_of_any_mode_give_colour(colour: a2b.Translator, mode: str) -> None:
    image = Image.fromarray(pixels(33, 47, 3)).convert(mode)
    result = colour(image)
    assert (type(result), result.mode, result.size) == (Image.Image, "RGB", (47, 33))


@pytest.mark.parametrize(("mode", "kept"), [("RGB", True), ("RGBA", True), ("L", False)])
def test_what_a_photo_says_of_itself_is_told_of_its_translation(
    colour: a2b.Translator, tmp_path: pathlib.Path, mode: str, kept: bool
) -> None:
    """But a profile for grey not of what is coloured now."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"RGB " if kept else b"GRAY"
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    photo = Image.fromarray(pixels(30, 40, 3)).convert(mode)
    photo.save(tmp_path / "photo.png", exif=exif, icc_profile=bytes(profile), dpi=(300, 300))
    result = colour(Image.open(tmp_path / "photo.png"))
    assert (result.getexif()[0x0112], result.getexif()[0x010F]) == (6, "maker"), "it lies as the photo does"
    assert result.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert result.info.get("icc_profile") == (bytes(profile) if kept else None)


def test_grey_images_stay_grey(grey: a2b.Translator) -> None:
    result = grey(Image.fromarray(pixels(30, 50)))
    assert (result.mode, result.size) == ("L", (50, 30))


def test_sixteen_bits_stay_sixteen_bits(grey: a2b.Translator) -> None:
    image = Image.fromarray(pixels(30, 50, dtype="uint16"))
    assert image.mode == "I;16"
    result = grey(image)
    assert (result.mode, result.size) == ("I;16", (50, 30))
    values = np.asarray(result)
    assert len(np.unique(values)) > 256, "more levels than eight bits hold"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [0, 1])
def test_arrays_keep_dtype_and_shape(grey: a2b.Translator, dtype: str, channels: int) -> None:
    array = pixels(30, 50, channels, dtype)
    before = array.copy()
    result = grey(array)
    assert (type(result), result.dtype, result.shape) == (np.ndarray, array.dtype, array.shape)
    assert np.array_equal(array, before)


def test_depths_mean_the_same_image(grey: a2b.Translator) -> None:
    eight = pixels(32, 32)
    as_eight = grey(eight).astype(float) / 255
    as_sixteen = grey(eight.astype(np.uint16) * 257).astype(float) / 65535
    assert np.abs(as_eight - as_sixteen).max() <= 0.5 / 255 + 1e-6


def test_pil_and_array_agree(colour: a2b.Translator) -> None:
    array = pixels(33, 47, 3)
    assert np.array_equal(np.asarray(colour(Image.fromarray(array))), colour(array))


def test_the_same_image_gives_the_same_result(colour: a2b.Translator) -> None:
    array = pixels(33, 47, 3)
    first = colour(array)
    colour(pixels(60, 20, 3))
    assert np.array_equal(colour(array), first)


def test_the_result_is_the_network(weights: pathlib.Path, colour: a2b.Translator) -> None:
    network = a2b.build_generator("resnet_6blocks", ngf=4, norm="batch", no_dropout=True).eval()
    network.load_state_dict(torch.load(weights / "latest_net_G_A.pth", weights_only=True))
    array = pixels(32, 32, 3)
    with torch.no_grad():
        output = network(torch.from_numpy(array).permute(2, 0, 1)[None] / 127.5 - 1)[0].permute(1, 2, 0).numpy()
    expected = (output + 1) * 127.5
    assert np.abs(colour(array) - expected).max() <= 0.501, "rounded, not truncated"


def test_the_folder_that_one_is_in_is_a_run(
    weights: pathlib.Path, colour: a2b.Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights)
    monkeypatch.setenv("HOME", str(weights.parent))
    image = pixels(20, 24, 3)
    for path in (".", f"../{weights.name}/", f"~/{weights.name}", "~/foreign/latest_net_G_A.pth"):
        assert np.array_equal(a2b.load(path, gpu_ids="-1")(image), colour(image))


def test_a_path_is_not_taken_for_an_image(colour: a2b.Translator) -> None:
    with pytest.raises(TypeError, match=r"image as str: give a PIL image or .*translate\.file\(source, target\)"):
        colour("x.png")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0), (1, 5, 5, 3), (5,), ()])
def test_an_array_without_pixels_is_one_line(colour: a2b.Translator, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"^image: an array of \(.*\); give H x W"):
        colour(np.zeros(shape, np.uint8))


def test_alpha_is_left_out_with_a_word(colour: a2b.Translator, capsys: pytest.CaptureFixture[str]) -> None:
    _TOLD.clear()
    colour(pixels(8, 8, 4))
    colour(pixels(8, 8, 4))
    assert capsys.readouterr().err == "note: image: the alpha channel is left out\n"


@pytest.mark.parametrize(("array", "error"), [(pixels(8, 8, 5), UserError), (np.zeros((8, 8), np.int64), TypeError)])
def test_what_the_network_cannot_take_is_refused(colour: a2b.Translator, array: np.ndarray, error: type) -> None:
    with pytest.raises(error, match=r"channels|int64"):
        colour(array)


def test_a_folder_in_the_established_naming_needs_no_options(weights: pathlib.Path) -> None:
    array = pixels(32, 32, 3)
    forward, back = a2b.load(weights, gpu_ids="-1"), a2b.load(weights, direction="BtoA", gpu_ids="-1")
    assert np.array_equal(forward(array), a2b.load(weights / "latest_net_G_A.pth", gpu_ids="-1")(array))
    assert np.array_equal(back(array), a2b.load(weights / "latest_net_G_B.pth", gpu_ids="-1")(array))
    assert not np.array_equal(forward(array), back(array))


def test_wrapped_and_safetensors_files_load(weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    from safetensors.torch import save_file

    state = torch.load(weights / "latest_net_G_A.pth", weights_only=True)
    torch.save({"params": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "wrapped.pth")
    save_file(state, tmp_path / "plain.safetensors")
    array = pixels(20, 20, 3)
    expected = a2b.load(weights / "latest_net_G_A.pth", gpu_ids="-1")(array)
    for name in ("wrapped.pth", "plain.safetensors"):
        assert np.array_equal(a2b.load(tmp_path / name, gpu_ids="-1")(array), expected)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("nowhere", "no such run"),
        ("junk.pth", "cannot be read"),
        ("other.pth", "neither a2b nor spandrel knows this network"),
        (".", "no gener"),
    ],
)
def test_what_is_no_model_is_one_line(tmp_path: pathlib.Path, path: str, part: str) -> None:
    (tmp_path / "junk.pth").write_bytes(b"junk")
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=part) as caught:
        a2b.load(tmp_path / path, gpu_ids="-1")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / path))


@pytest.fixture
def trained(
    tmp_path: pathlib.Path, aligned: pathlib.Path, unaligned: pathlib.Path, tiny: list[str], train: Callable[..., int]
) -> Callable[..., pathlib.Path]:
    def run(model: str, *words: object) -> pathlib.Path:
        data = unaligned if model == "cycle_gan" else aligned
        where = ["--dataroot", data, "--checkpoints_dir", tmp_path, "--name", "run"]
        train("--model", model, *where, *tiny, "--max_steps", 1, "--init_gain", "0.3", *words)
        return tmp_path / "run"

    return run


def test_a_run_translates_with_its_own_ranges(trained: Any) -> None:
    folder = trained("pix2pix", "--value_range", "0,100/0,50")
    translate = a2b.load(folder, gpu_ids="-1")
    result = translate(pixels(30, 41, 3))
    assert result.shape == (30, 41, 3)
    assert result.dtype == np.uint8
    assert result.max() <= 50


def test_another_depth_than_the_run_s_is_converted_or_refused(trained: Any) -> None:
    folder = trained("pix2pix")
    eight = pixels(32, 32, 3)
    translate = a2b.load(folder, gpu_ids="-1")
    deep = translate(eight.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 65535 - translate(eight) / 255).max() <= 0.5 / 255 + 1e-6
    with pytest.raises(UserError, match="image: float32 files, but the run was trained on uint8 files"):
        translate(eight.astype(np.float32))


@pytest.mark.parametrize("trained_in", ["AtoB", "BtoA"])
def test_direction_speaks_of_the_data_however_it_was_trained(trained: Any, trained_in: str) -> None:
    folder = trained("cycle_gan", "--direction", trained_in, "--value_range", "0,255/0,255")
    array = pixels(32, 32, 3)
    same = a2b.load(folder / "latest_net_G_A.pth", gpu_ids="-1")(array)
    other = a2b.load(folder / "latest_net_G_B.pth", gpu_ids="-1")(array)
    assert not np.array_equal(same, other)
    for direction in ("AtoB", "BtoA"):
        result = a2b.load(folder, direction=direction, gpu_ids="-1")(array)
        assert np.array_equal(result, same if direction == trained_in else other)


def test_building_networks_by_name_checks_their_flags() -> None:
    assert sum(p.numel() for p in a2b.build_generator("resnet_6blocks").parameters()) == 7_837_699
    with pytest.raises(UserError, match="did you mean norm"):
        a2b.build_generator("resnet_6blocks", norms="batch")
    with pytest.raises(UserError, match="did you mean basic"):
        a2b.build_discriminator("basci")


def test_colour_that_pillow_cannot_hold_is_one_line(colour: a2b.Translator) -> None:
    with pytest.raises(UserError, match="Pillow cannot hold 3 channels of uint16"):
        colour(Image.fromarray(pixels(20, 24, dtype="uint16")))
