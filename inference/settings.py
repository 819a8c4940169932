"""Flags of inference beyond which run: sizes, memory, averaging, arithmetic. Torch-free, so that --help can read it."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option

ENSEMBLES = ("mean", "median", "vote", "weights")


@dataclass(frozen=True)
class InferenceOptions:
    """How large images go through a network, and what is averaged."""

    tile_size: int = option(
        0,
        "side of the tiles that images go through in; 0: whole where that fits, else the largest tiles that fit",
        "session",
        minimum=0,
    )
    max_memory: str | None = option(
        None,
        "memory the program may take, such as 2GB; left out, images go through whole within a quarter of the "
        "machine's memory, and the program stays within 2 GB where they go through in tiles",
        "session",
    )
    tile_stats: str = option(
        "exact",
        "statistics of instance norm over tiles: exact = those of the whole image, layer by layer; thumbnail = those "
        "of a small version of it, a preview",
        "session",
        choices=("exact", "thumbnail"),
    )
    tile_scratch: str = option(
        "fp16", "precision of what is stored between layers; fp32 takes twice the space", "session",
        choices=("fp16", "fp32"),
    )  # fmt: skip
    scratch_dir: str | None = option(None, "folder of temporary files; left out, the system's", "session")
    tta: str = option(
        "none", "x8 averages over the 8 mirrored and turned versions of each image", "session", choices=("none", "x8")
    )
    ensemble: str | None = option(
        None,
        "how several runs are joined: mean = of their results in file units (soft voting; the default); median; vote = "
        "of each pixel the value that most runs give (hard voting, for labels in 8 or 16 bits; of equally frequent "
        "ones that nearest the mean); weights = one network with the average weights of equal networks (a soup)",
        "session",
        choices=ENSEMBLES,
    )
    mc_dropout: int = option(
        0,
        "average so many passes with dropout on, and write beside the mean their deviation, in its bit depth, as "
        "NAME_uncertainty; 0: dropout off",
        "session",
        minimum=0,
    )


@dataclass(frozen=True)
class EngineOptions:
    """What computes the networks, and in which arithmetic."""

    precision: str = option(
        "auto",
        "arithmetic of the networks; auto: bf16 where the machine has units for it, the job is long enough, and the "
        "results come within 50 dB of fp32 on its first images, else fp32; int8 is refused below 40 dB",
        "session",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    backend: str = option(
        "torch",
        "library that computes the networks; openvino and onnxruntime are for the CPU, and the only ones with int8",
        "session",
        choices=("torch", "openvino", "onnxruntime"),
    )
    compile: str = option(
        "off",
        "translate the networks into machine code first, for --backend torch: seconds to a minute at the start, some "
        "speed after; auto: where the job is long enough to win",
        "session",
        choices=("off", "default", "max", "auto"),
    )
    calibration: str | None = option(
        None, "folder of images to calibrate int8 on; none: the training images of the run's data set", "session"
    )
