"""Every format in its own depth and channels; hostile files end in one line."""

from __future__ import annotations

import io
import pathlib
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from data.readers import read_image, read_info
from data.value_range import ValueRange
from data.writers import parse_bands, preview, write_image
from util.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_integers_survive_writing_and_reading(tmp_path: pathlib.Path, suffix: str, dtype: str, channels: int) -> None:
    image = RNG.integers(0, np.iinfo(dtype).max, (5, 7, channels), dtype=dtype, endpoint=True)
    path = tmp_path / f"new/a{suffix}"
    write_image(path, image)
    again = read_image(path)
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(again, image)
    info = read_info(path)
    assert (info.height, info.width, info.channels, info.dtype) == (5, 7, channels, dtype)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("channels", "dtype"), [(1, "float32"), (2, "float32"), (3, "float32"), (7, "uint16")])
def test_tiff_keeps_floats_and_any_channels(tmp_path: pathlib.Path, channels: int, dtype: str) -> None:
    image = (RNG.normal(size=(5, 6, channels)) * 100 + 500).astype(dtype)
    write_image(tmp_path / "a.tif", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), image)
    assert read_info(tmp_path / "a.tif").channels == channels


@pytest.mark.parametrize("suffix", [".bmp", ".webp"])
def test_bmp_and_webp_are_lossless(tmp_path: pathlib.Path, suffix: str) -> None:
    write_image(tmp_path / f"a{suffix}", RGB)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), RGB)


def test_lossy_or_unfit_outputs_are_refused(tmp_path: pathlib.Path) -> None:
    for name, image in (("a.jpg", RGB), ("a.png", RGB.astype(np.float32)), ("a.bmp", RGB.astype(np.uint16))):
        with pytest.raises(UserError, match=r"\.tif"):
            write_image(tmp_path / name, image)
    with pytest.raises(ValueError, match="round it"):
        write_image(tmp_path / "a.png", RGB.astype(np.float64))
    assert not list(tmp_path.iterdir())


def test_sixteen_bit_rgb_png_keeps_its_order_and_depth(tmp_path: pathlib.Path) -> None:
    image = np.zeros((2, 2, 3), np.uint16)
    image[..., 0], image[..., 2] = 40_001, 7
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_jpeg_is_read_as_pillow_reads_it(tmp_path: pathlib.Path) -> None:
    smooth = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_CUBIC)
    for name, picture in (("rgb", Image.fromarray(smooth)), ("grey", Image.fromarray(smooth[..., 0]))):
        picture.save(tmp_path / f"{name}.jpg")
        expected = np.asarray(Image.open(tmp_path / f"{name}.jpg"))
        assert np.abs(read_image(tmp_path / f"{name}.jpg").squeeze().astype(int) - expected).max() <= 1
    assert read_info(tmp_path / "grey.jpg").channels == 1


def test_palette_one_bit_and_cmyk_become_plain(tmp_path: pathlib.Path) -> None:
    picture = Image.fromarray(RGB)
    picture.quantize(4).save(tmp_path / "palette.png")
    picture.convert("1").save(tmp_path / "bit.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture.convert("CMYK").save(tmp_path / "cmyk.tif")
    assert read_image(tmp_path / "palette.png").shape == (5, 7, 3)
    assert read_image(tmp_path / "cmyk.jpg").shape == (5, 7, 3)
    assert read_image(tmp_path / "cmyk.tif").shape == (5, 7, 3)
    bit = read_image(tmp_path / "bit.png")
    assert bit.shape == (5, 7, 1) and set(np.unique(bit)) <= {0, 255}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_exif_orientation_is_applied(tmp_path: pathlib.Path, suffix: str) -> None:
    image = np.zeros((16, 32), np.uint8)
    image[:, 16:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(image).save(tmp_path / f"a{suffix}", exif=exif)
    turned = read_image(tmp_path / f"a{suffix}")
    assert turned.shape == (32, 16, 1)
    assert turned[:12].max() < 30 and turned[20:].min() > 225


def test_planar_paged_and_inverted_tiff(tmp_path: pathlib.Path) -> None:
    planes = RNG.integers(0, 9999, (3, 5, 7), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "planar.tif", planes, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "pages.tif", planes, photometric="minisblack")
    tifffile.imwrite(tmp_path / "white.tif", planes[0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "planar.tif"), np.moveaxis(planes, 0, -1))
    np.testing.assert_array_equal(read_image(tmp_path / "pages.tif"), np.moveaxis(planes, 0, -1))
    np.testing.assert_array_equal(read_image(tmp_path / "white.tif")[..., 0], 65535 - planes[0])


def test_other_number_types_become_float32(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[-5, 7], [300, 0]], np.int16))
    image = read_image(tmp_path / "a.npy")
    assert image.dtype == np.float32 and image[..., 0].tolist() == [[-5, 7], [300, 0]]


def _encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(buffer, suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "bmp"])
@pytest.mark.parametrize("keep", [0.0, 0.002, 0.3, 0.9])
def test_empty_and_truncated_files_are_one_line(tmp_path: pathlib.Path, kind: str, keep: float) -> None:
    data = _encoded(kind)
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert "cut." in str(caught.value) and "\n" not in str(caught.value) and "copy it again" in str(caught.value)


def test_sixteen_bit_png_cut_or_damaged_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, RNG.integers(0, 65536, (40, 40, 3), dtype=np.uint16))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-30])
    with pytest.raises(UserError, match="truncated"):
        read_image(path)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="checksum"):
        read_image(path)


@pytest.mark.parametrize("name", ["notes.png", "notes.jpg", "notes.tif", "notes.npy"])
def test_text_under_an_image_name_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_text("this is no image\n" * 9)
    for read in (read_image, read_info):
        with pytest.raises(UserError, match=f"{name}: not a readable image"):
            read(tmp_path / name)


def test_missing_file_and_folder_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_image(tmp_path / "none.png")
    with pytest.raises(UserError, match="cannot be read"):
        read_image(tmp_path)


def test_pickles_in_npy_are_never_loaded(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="not a readable image"):
        read_image(tmp_path / "a.npy")


def _bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_image_bombs_are_refused_before_decoding(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bomb.png").write_bytes(_bomb(50_000, 50_000))
    for read in (read_image, read_info):
        with pytest.raises(UserError, match="bomb.png: 50000x50000x1 is more than .* A2B_MAX_PIXELS"):
            read(tmp_path / "bomb.png")


def test_the_pixel_limit_can_be_set(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A2B_MAX_PIXELS", "30")
    for suffix in ("png", "tif", "bmp", "npy"):
        write_image(tmp_path / f"a.{suffix}", RGB)
        with pytest.raises(UserError, match="A2B_MAX_PIXELS"):
            read_image(tmp_path / f"a.{suffix}")
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="A2B_MAX_PIXELS"):
        read_image(tmp_path / "a.jpg")
    monkeypatch.setenv("A2B_MAX_PIXELS", "many")
    with pytest.raises(UserError, match="A2B_MAX_PIXELS=many"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_preview_shows_any_channels_in_eight_bits(channels: int) -> None:
    image = np.full((2, 3, channels), 40_000, np.uint16)
    shown = preview(image, ValueRange(0, 65535))
    assert shown.shape == (2, 3, 3) and shown.dtype == np.uint8
    assert shown[0, 0, 0] == round(40_000 / 257)


def test_preview_shows_the_bands_asked_for_where_an_image_has_them() -> None:
    image = np.stack([np.full((2, 3), band * 10, np.uint8) for band in range(6)], axis=2)
    assert preview(image, None, parse_bands(["5", "3", "1"], 6))[0, 0].tolist() == [40, 20, 0]
    assert preview(image, None, parse_bands(["4"], 6))[0, 0].tolist() == [30, 30, 30]
    assert preview(image[..., :3], None, (4, 2, 0))[0, 0].tolist() == [0, 10, 20]
    for words in (["7", "1", "1"], ["1", "2"], ["0"], ["red"]):
        with pytest.raises(UserError, match=r"--preview_bands .* from 1 to 6"):
            parse_bands(words, 6)


def test_preview_of_tiny_values_is_not_black() -> None:
    assert preview(np.array([[0.0, 1e-15]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_orientation_is_pillows(tmp_path: pathlib.Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / f"a{suffix}")))
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), expected)
    info = read_info(tmp_path / f"a{suffix}")
    assert (info.height, info.width) == expected.shape[:2]


def test_an_npz_of_several_arrays_or_of_a_bomb_is_refused(tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "two.npz", a=RGB, b=RGB)
    with pytest.raises(UserError, match=r"2 arrays \(a, b\)"):
        read_image(tmp_path / "two.npz")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as f:
        np.lib.format.write_array_header_1_0(f, {"descr": "|u1", "fortran_order": False, "shape": (50_000, 50_000)})
        f.write(bytes(1 << 20))
    with pytest.raises(UserError, match="A2B_MAX_PIXELS"):
        read_image(tmp_path / "bomb.npz")


def test_preview_clips_and_blackens_what_is_not_finite() -> None:
    image = np.array([[-9.0, 0.0, 0.5, 9.0, np.nan]])
    assert preview(image, ValueRange(-1, 1))[0, :, 1].tolist() == [0, 128, 191, 255, 0]
    assert preview(RGB).tolist() == RGB.tolist()


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_what_pillow_decodes_is_turned_once(tmp_path: pathlib.Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(RGB) if suffix == ".webp" else Image.fromarray(RGB).quantize(8)
    picture.save(tmp_path / f"a{suffix}", exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    expected = np.rot90(np.asarray(picture.convert("RGB")), -1)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), expected)
    info = read_info(tmp_path / f"a{suffix}")
    assert (info.height, info.width) == expected.shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize(
    "exif", [b"no TIFF at all", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01A\0\0\0"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_costs_no_image(tmp_path: pathlib.Path, suffix: str, exif: bytes) -> None:
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", exif=exif)
    assert read_image(tmp_path / f"a{suffix}").shape == RGB.shape
    info = read_info(tmp_path / f"a{suffix}")
    assert (info.height, info.width, info.channels) == RGB.shape
