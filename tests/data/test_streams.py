"""Images read and written in parts are those read and written whole."""

from __future__ import annotations

import io
import pathlib
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from data.metadata import Metadata, read_metadata
from data.png_rows import PngRows, write_png
from data.readers import read_image
from data.streams import read_blocks, write_blocks
from util.errors import UserError

SHAPES = [(1, 1, 1), (300, 90, 3), (257, 40, 4), (270, 5, 1)]


def photo(shape: tuple[int, int, int], dtype: str = "uint8") -> np.ndarray:
    """Return smooth values with noise, for which encoders use all filters."""
    height, width, channels = shape
    random = np.random.default_rng(0)
    waves = np.sin(np.arange(height)[:, None, None] / 9) + np.cos(np.arange(width)[None, :, None] / 7)
    values = 0.5 + 0.2 * waves + 0.02 * random.standard_normal(shape)
    if dtype == "float32":
        return values.astype(np.float32)
    return (values.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)


def whole(path: pathlib.Path, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Return the image that the blocks of a file make."""
    result = np.zeros(shape, dtype)
    for top, left, values in read_blocks(path):
        result[top : top + values.shape[0], left : left + values.shape[1]] = values
    return result


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_png_by_rows(tmp_path: pathlib.Path, shape: tuple[int, int, int], dtype: str) -> None:
    image, path = photo(shape, dtype), tmp_path / "x.png"
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(shape[2])
    ordered = image if order is None else cv2.cvtColor(image, order)
    cv2.imwrite(str(path), ordered, [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS])
    assert np.array_equal(whole(path, shape, dtype), image)
    write_blocks(tmp_path / "y.png", shape, dtype, np.array_split(image, 3))
    assert np.array_equal(read_image(tmp_path / "y.png"), image)
    assert np.array_equal(whole(tmp_path / "y.png", shape, dtype), image)
    write_blocks(tmp_path / "z.png", shape, dtype, [np.asfortranarray(image)])
    assert np.array_equal(read_image(tmp_path / "z.png"), image)


def filtered(image: np.ndarray, kind: int) -> bytes:
    """Return the rows of a uint8 image under one filter, by the definition in the specification."""
    height, width, channels = image.shape
    padded = np.zeros((height + 1, width + 1, channels), np.int64)
    padded[1:, 1:] = image
    out = bytearray()
    for y in range(1, height + 1):
        out.append(kind)
        for x in range(1, width + 1):
            a, b, c = padded[y, x - 1], padded[y - 1, x], padded[y - 1, x - 1]
            nearest = [min((a[i], b[i], c[i]), key=lambda v, i=i: abs(a[i] + b[i] - c[i] - v)) for i in range(channels)]
            guess = [0 * a, a, b, (a + b) // 2, np.array(nearest)][kind]
            out += bytes(((padded[y, x] - guess) % 256).tolist())
    return bytes(out)


@pytest.mark.parametrize("kind", range(5))
def test_every_png_filter(kind: int) -> None:
    image = photo((9, 13, 3))
    head = struct.pack(">IIBBBBB", 13, 9, 8, 2, 0, 0, 0)
    data = zlib.compress(filtered(image, kind))
    chunks = [(b"IHDR", head), (b"IDAT", data[:20]), (b"IDAT", data[20:]), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    )
    assert np.array_equal(np.concatenate(list(PngRows(io.BytesIO(content)))), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(300, 290, 3), (513, 58, 1)])
@pytest.mark.parametrize(
    "words",
    [{}, {"compression": "zlib"}, {"compression": "lzw", "rowsperstrip": 7}, {"tile": (64, 48), "compression": "zlib"}],
    ids=str,
)
def test_tiff_by_strips_and_tiles(
    tmp_path: pathlib.Path, shape: tuple[int, int, int], dtype: str, words: dict[str, object]
) -> None:
    image, path = photo(shape, dtype), tmp_path / "x.tif"
    plane = image[..., 0] if shape[2] == 1 else image
    tifffile.imwrite(path, plane, photometric="rgb" if shape[2] >= 3 else "minisblack", metadata=None, **words)
    assert np.array_equal(whole(path, shape, dtype), image)
    write_blocks(tmp_path / "y.tif", shape, dtype, np.array_split(image, 3))
    assert np.array_equal(read_image(tmp_path / "y.tif"), image)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_stored_apart_are_refused_and_not_mixed_up(tmp_path: pathlib.Path, compression: str | None) -> None:
    planes = photo((40, 30, 3)).transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "x.tif", planes, photometric="rgb", planarconfig="separate", compression=compression)
    with pytest.raises(UserError, match="separate planes; save it interleaved"):
        list(read_blocks(tmp_path / "x.tif"))


def test_big_endian_tiff_and_npy(tmp_path: pathlib.Path) -> None:
    image = photo((300, 20, 3), "uint16")
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="rgb", byteorder=">", metadata=None)
    np.save(tmp_path / "x.npy", image)
    for name in ("x.tif", "x.npy"):
        assert np.array_equal(whole(tmp_path / name, image.shape, "uint16"), image)


@pytest.mark.parametrize("mode", ["P", "1", "L", "RGB"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_other_kinds_are_decoded_whole(tmp_path: pathlib.Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    Image.fromarray(photo((40, 30, 3))).convert(mode).save(path)
    expected = read_image(path)
    assert np.array_equal(whole(path, expected.shape, expected.dtype.name), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_damage_is_one_line_and_leaves_no_file(tmp_path: pathlib.Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_blocks(path, (600, 50, 3), "uint8", [photo((600, 50, 3))])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(UserError, match="not a readable image") as raised:
        write_blocks(tmp_path / "y.png", (600, 50, 3), "uint8", (values for _, _, values in read_blocks(path)))
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_one_wrong_byte_of_a_png_is_noticed() -> None:
    file = io.BytesIO()
    write_png(file, (9, 9, 1), 8, [photo((9, 9, 1))])
    content = bytearray(file.getvalue())
    content[-14] ^= 1  # the checksum of the image
    with pytest.raises(ValueError, match="checksum"):
        list(PngRows(io.BytesIO(content)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_profile_and_exif_are_kept_and_the_orientation_is_not_applied_twice(
    tmp_path: pathlib.Path, suffix: str
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    Image.fromarray(photo((20, 30, 3))).save(tmp_path / "photo.jpg", icc_profile=profile, exif=exif)
    metadata = read_metadata(tmp_path / "photo.jpg")
    image = read_image(tmp_path / "photo.jpg")
    write_blocks(tmp_path / f"out{suffix}", image.shape, "uint8", [image], metadata)
    with Image.open(tmp_path / f"out{suffix}") as out:
        assert out.size == (20, 30)
        assert out.info["icc_profile"] == profile
        assert out.getexif()[0x010F] == "maker" and out.getexif().get(0x0112, 1) == 1
    assert read_metadata(tmp_path / f"out{suffix}").icc == profile


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize(("space", "channels", "kept"), [(b"GRAY", 1, 1), (b"GRAY", 3, 0), (b"CMYK", 3, 0)])
def test_a_profile_for_other_colours_is_left_out(
    tmp_path: pathlib.Path, suffix: str, space: bytes, channels: int, kept: int
) -> None:
    """As of a CMYK photo, which is read as RGB, or of a grey one, which a network makes coloured."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space
    image, path = photo((20, 30, channels)), tmp_path / f"out{suffix}"
    write_blocks(path, image.shape, "uint8", [image], Metadata(bytes(profile)))
    assert read_metadata(path).icc == bytes(profile) * kept


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("source", ["photo.png", "photo.jpg", "turned.jpg", "scan.tif"])
def test_the_size_of_a_pixel_is_kept(tmp_path: pathlib.Path, source: str, suffix: str) -> None:
    """300 and 150 dots per inch; turned images change the two, enlarged ones multiply them."""
    image, turned = photo((20, 30, 3)), Image.Exif()
    turned[0x0112] = 6
    for name, exif in (("photo.png", None), ("photo.jpg", None), ("turned.jpg", turned)):
        Image.fromarray(image).save(tmp_path / name, dpi=(300, 150), **({"exif": exif} if exif else {}))
    scan = {"resolution": (300, 150), "resolutionunit": "INCH", "description": "2 nm a pixel", "metadata": None}
    tifffile.imwrite(tmp_path / "scan.tif", image.astype(np.float32), photometric="rgb", **scan)
    metadata = read_metadata(tmp_path / source)
    write_blocks(tmp_path / f"out{suffix}", image.shape, "uint8", [image], metadata.enlarged(2))
    with Image.open(tmp_path / f"out{suffix}") as out:
        expected = (300, 600) if source == "turned.jpg" else (600, 300)
        assert [float(value) for value in out.info["dpi"]] == pytest.approx(expected, abs=0.1)
        if (source, suffix) == ("scan.tif", ".tif"):
            assert out.tag_v2[270] == "2 nm a pixel"


def test_the_layout_of_a_source_is_not_told_of_its_result(tmp_path: pathlib.Path) -> None:
    tifffile.imwrite(tmp_path / "shaped.tif", photo((20, 30, 3)))
    assert read_metadata(tmp_path / "shaped.tif") == Metadata()


def test_nothing_to_keep_is_nothing(tmp_path: pathlib.Path) -> None:
    Image.fromarray(photo((20, 30, 3))).save(tmp_path / "plain.png")
    assert read_metadata(tmp_path / "plain.png") == read_metadata(tmp_path / "none.png") == Metadata()
