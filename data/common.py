"""Flags that every data set shares, and the loader's; no torch here, so that --help stays fast."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option

PREPROCESS = ("resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none")
INPUT_NORMS = ("range", "image", "local", "log")


@dataclass(frozen=True)
class CommonDataOptions:
    """Where the images are and how they become network input.

    ``input_nc``, ``output_nc`` and ``value_range`` speak of source and target, after ``direction``.
    """

    dataroot: str | None = option(None, "folder of the images", "session")
    phase: str = option("train", "which part of the data: train, val, test; all, where there are none", "session")
    dir_A: str | None = option(None, "folder of A below --dataroot, such as input, or a whole path")
    dir_B: str | None = option(None, "folder of B below --dataroot, such as target, or a whole path")
    val_fraction: float = option(
        0.1, "part held out, by name, from folders that have no train/ and test/", "identity", minimum=0, maximum=0.9
    )
    split_seed: int = option(0, "seed of that split, apart from --seed so that no test image is trained on", "identity")
    group_by: str | None = option(
        None,
        "regular expression: images whose names' beginnings match alike stay on one side of that split, or in one fold",
        "identity",
    )
    folds: int | None = option(
        None, "in place of that split, cut the images into so many equal parts, and hold out one", "identity", minimum=2
    )
    fold: str | None = option(None, "which of the --folds is held out, from 1; all: train one run for each", "identity")
    direction: str = option("AtoB", "translate A to B, or B to A", "identity", choices=("AtoB", "BtoA"))
    input_nc: int = option(3, "channels of the source: 1 grey, 3 RGB, or the files' own", "identity", minimum=1)
    output_nc: int = option(3, "channels of the target: 1 grey, 3 RGB, or the files' own", "identity", minimum=1)
    value_range: str = option(
        "auto",
        "file values that become [-1,1]: auto, dtype or MIN,MAX; source and target apart as SPEC/SPEC",
        "identity",
    )
    preprocess: str = option("resize_and_crop", "how images get their size", choices=PREPROCESS)
    load_size: int = option(286, "resize to this size, in pixels", minimum=1)
    crop_size: int = option(256, "then crop to this size, in pixels", minimum=1)
    no_flip: bool = option(False, "do not mirror training images at random, left and right")
    flip_vertical: bool = option(False, "mirror training images at random upside down too")
    rot90: bool = option(False, "turn training images at random by quarters; those that are not square by halves")
    context: str = option(
        "none",
        "image: with each patch the generator sees the whole image shrunk to the patch's size, and where in it the "
        "patch lies; for --preprocess crop",
        "identity",
        choices=("none", "image"),
    )
    coordinates: bool = option(False, "the generator sees where each pixel lies, as two more channels", "identity")
    input_norms: tuple[str, ...] = option(
        ("range",),
        "versions of the input that the generator sees side by side, range first: range, as --value_range says; image, "
        "each image's mean 0 and deviation 1; local, the same around every pixel; log, logarithms",
        "identity",
    )
    serial_batches: bool = option(False, "take images in order, and pair unaligned ones in order")
    on_bad_file: str = option(
        "stop",
        "a file that cannot be read: stop, or skip it, and let the next sample stand in for it in training",
        choices=("stop", "skip"),
    )
    preview_bands: tuple[str, ...] = option(
        (), "which channels, from 1, pages show as red, green and blue, such as 4,3,2; one of them as grey"
    )
    max_dataset_size: int | None = option(None, "use only the first so many images; inf for all", minimum=1)
    cache: str = option(
        "auto", "keep decoded and resized images on disk: auto (in the user's cache folder), off or a folder", "session"
    )
    cache_limit: float = option(
        10.0, "gigabytes that folder may hold; the least recently used go", "session", minimum=0
    )
    seed: int = option(0, "seed of weights, samples, dropout and noise; the same seed gives the same run", minimum=0)

    @property
    def sees_whole(self) -> bool:
        """Whether what becomes of a pixel depends on the whole image, so that none is cropped outside of training."""
        return self.context != "none" or self.coordinates or "image" in self.input_norms

    @property
    def skips_bad(self) -> bool:
        """Whether a file that cannot be read is passed over."""
        return self.on_bad_file == "skip"


@dataclass(frozen=True)
class PatchOptions:
    """How often one epoch shows an image."""

    patches_per_image: int = option(1, "patches that one epoch takes of each image, or of each pair", minimum=1)


@dataclass(frozen=True)
class LoaderOptions:
    """How samples become batches."""

    batch_size: int = option(
        1, "images per update step, over all processes; auto: as many as fit into memory", minimum=1, auto=True
    )
    num_threads: int = option(4, "processes that load images; 0 loads in the main one", "session", minimum=0)
