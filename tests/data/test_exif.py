"""What a camera wrote goes into TIFF files and out of them."""

from __future__ import annotations

import pathlib
from fractions import Fraction

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from data import streams
from data.metadata import Metadata, read_metadata
from data.readers import read_image
from data.streams import write_blocks

CAMERA, PLACE = 0x8769, 0x8825
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def photo(path: pathlib.Path) -> Metadata:
    """Write what a camera held sideways would, and return what is read of it."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110], exif[0x0131] = 6, "maker", "M 1", "firmware 2"
    exif.get_ifd(CAMERA).update({0x829A: IFDRational(1, 250), 0x8827: 400, 0x9003: "2024:05:06 07:08:09", 0xA002: 30})
    exif.get_ifd(CAMERA)[0x927C] = b"a maker's own words"
    exif.get_ifd(PLACE).update({1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(29, 2))})
    Image.fromarray(IMAGE).save(path, exif=exif)
    return read_metadata(path)


@pytest.mark.parametrize("large", [False, True])
def test_a_tiff_holds_what_the_camera_wrote_and_gives_it_to_the_next_file(
    tmp_path: pathlib.Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_LARGE_TIFF", 0 if large else 4 * 10**9)
    write_blocks(tmp_path / "a.tif", IMAGE.shape, "uint8", [IMAGE], photo(tmp_path / "photo.jpg"))
    assert np.array_equal(read_image(tmp_path / "a.tif"), IMAGE)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages.first.tags
        assert tiff.is_bigtiff == large and tags[271].value == "maker" and tags[305].value == "firmware 2"
        camera, place = tags[CAMERA].value, tags[PLACE].value
        assert Fraction(*camera["ExposureTime"]) == Fraction(1, 250) and camera["ISOSpeedRatings"] == 400
        assert "PixelXDimension" not in camera, "which was that of the source"
        assert place["GPSLatitudeRef"] == "N" and 274 not in tags
    if large:
        return  # which Pillow reads no EXIF of
    again = read_metadata(tmp_path / "a.tif")
    write_blocks(tmp_path / "b.png", IMAGE.shape, "uint8", [IMAGE], again)
    for name in ("a.tif", "b.png"):
        with Image.open(tmp_path / name) as out:
            exif = out.getexif()
            camera = exif.get_ifd(CAMERA)
            assert (exif[0x0110], camera[0x9003]) == ("M 1", "2024:05:06 07:08:09")
            assert camera[0x927C] == b"a maker's own words" and exif.get_ifd(PLACE)[2] == (48.0, 8.0, 14.5)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"no exif at all", bytes(range(256))])
def test_damaged_exif_costs_no_image(tmp_path: pathlib.Path, exif: bytes) -> None:
    write_blocks(tmp_path / "a.tif", IMAGE.shape, "uint8", [IMAGE], Metadata(exif=exif))
    assert np.array_equal(read_image(tmp_path / "a.tif"), IMAGE)
    assert read_metadata(tmp_path / "a.tif") == Metadata()
