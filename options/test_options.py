"""The flags of test.py."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from data import DATASETS
from data.common import CommonDataOptions, LoaderOptions
from inference.settings import EngineOptions, InferenceOptions
from models import MODELS
from models.networks.common import AroundOptions
from options.base_options import BaseOptions, RunOptions, check_value_range, root_flags
from options.resolve import COMMAND_LINE, Options, Source
from options.saved import check_identity, load_options, saved_source
from options.schema import Component
from training.run_folder import run_folder
from training.time_budget import parse_duration
from util.errors import UserError
from util.option import option
from util.weights import local_weights


@dataclasses.dataclass(frozen=True)
class ResultOptions:
    """What test.py makes of a trained run."""

    input: str | None = option(None, "image, folder or video to translate, in place of a data set", "session")
    output: str | None = option(None, "where the translation of --input goes: a file, or a folder", "session")
    mask: str | None = option(
        None,
        "holes of --input, for a run that fills them: a mask, white = hole, or a folder of masks named as the images; "
        "without it transparent pixels are the holes",
        "session",
    )
    skip_existing: bool = option(False, "leave out images whose results are there already", "session")
    weights: str | None = option(
        None, "weight file to use in place of a run: any that a2b, the established tool or spandrel knows, "
        "by path, URL or hf:OWNER/REPOSITORY/FILE, with #sha256=... to check it", "session"
    )
    time_budget: str | None = option(
        None,
        "time that all images may take, such as 10m or 2h: of --tta x8 and several runs, as many runs, and then as "
        "many of the 8 views, as fit by the time of the first images",
        "session",
    )
    results_dir: str = option("./results/", "folder of the results", "session")
    num_test: int | None = option(None, "translate only the first so many images; inf for all", "session", minimum=1)
    aspect_ratio: float = option(1.0, "width of the results relative to their height", "session", minimum=0.01)
    eval: bool = option(False, "use the running statistics of batch norm (same as --test_norm running)", "session")
    test_norm: str = option(
        "auto",
        "statistics of batch norm: batch = the image's own, running = the training's; auto = the image's own for "
        "U-Nets trained on single images, as published, else the training's",
        "session",
        choices=("auto", "batch", "running"),
    )
    average: bool | None = option(
        None, "use the averaged weights of a run with --ema_decay; none: where there are any", "session"
    )
    display_winsize: int = option(256, "width of the pictures on the page", "session", minimum=1)
    lpips_weights: str | None = option(
        None, "LPIPS weights, by path, URL or hub name; without them torchvision's cached ones", "session"
    )
    fid_weights: str | None = option(
        None,
        "measure FID and KID by this Inception, or EfficientNet-lite0 as a stand-in, by path, URL or hub name; auto: "
        "the Inception in torch's cache",
        "session",
    )


_TEST_DEFAULTS = {
    **{"no_flip": True, "serial_batches": True, "batch_size": 1, "phase": "test"},
    "max_dataset_size": None,
    "cache": "off",  # every image is read once
    "on_bad_file": "skip",
}
_DEFAULTS = Source("test default", _TEST_DEFAULTS, strict=False)
_OF_THE_DATA_SET = ("dataset_mode", "dir_A", "dir_B")
_OF_ALL_RUNS = ("config", "ensemble", "suffix", "time_budget")
_ANY_SIDE = ("model", "direction", "input_nc", "output_nc")


class TestOptions(BaseOptions):
    """Command line of testing; everything about the network comes from the run."""

    __test__ = False  # not a test case
    script = "test.py"
    summary = "Translate images with a trained run. Example: python test.py --dataroot datasets/facades --name facades"

    def roots(self) -> list[Component]:
        return [
            Component("run", RunOptions),
            Component("computing", EngineOptions),
            Component("results", ResultOptions),
            Component("large images and averages", InferenceOptions),
            Component("data", CommonDataOptions),
            Component("around the generator", AroundOptions),
            Component("loading", LoaderOptions),
        ]

    def extra_sources(self, early: RunOptions, given: dict[str, Any]) -> list[Source]:
        if given.get("weights"):
            return [_from_file(local_weights(given["weights"], "--weights"), given), _DEFAULTS]
        folder, *others = (run_folder(early.checkpoints_dir, name) for name in run_names(early.name))
        for each in (folder, *others):
            if not each.is_dir():
                raise UserError(f"{each}: no such run{_other_runs(each)}; check --name and --checkpoints_dir")
        saved = load_options(folder)
        fills = run_fills_holes(saved or {})
        single = {"model": "test"} if given.get("input") and not fills else {}
        if given.get("model") == "test" and fills:
            raise UserError(f"--model test: the run in {folder} fills holes, which takes masks; leave the flag out")
        given = single | given
        defaults = Source("test default", _TEST_DEFAULTS | single, strict=False)
        if saved is None:
            return [_from_weights(early), defaults]
        source = saved_source(folder, saved)
        if given.get("model") not in (None, source.values["model"]):
            for name in _OF_THE_DATA_SET:
                source.values.pop(name, None)
            if _cuts_patches(saved.get("dataset_mode", {}).get("value")):
                source.values["preprocess"] = "none"  # a photo is enlarged whole
        return [source, defaults]

    def of_other_scripts(self) -> dict[str, str]:
        from options.train_options import TrainOptions

        return root_flags(TrainOptions())

    def finish(self, options: Options) -> Options:
        values = options.values
        check_value_range(options)
        fills = _fills_holes(values["model"], values["dataset_mode"])
        if values["input"] is not None and values["model"] != "test" and not fills:
            raise UserError(f"--input translates by one generator: leave out --model {values['model']}")
        if values["mask"] is not None and not (fills and values["input"]):
            raise UserError(f"--mask {values['mask']}: only with --input, for runs that fill holes (--model inpaint)")
        if values["dataroot"] is None and values["input"] is None:
            raise UserError("--dataroot is missing: name the folder of the images to translate, or one with --input")
        if values["input"] is not None and values["aspect_ratio"] != 1:
            raise UserError(
                f"--aspect_ratio {values['aspect_ratio']}: only with --dataroot; results of --input keep theirs"
            )
        if values["ensemble"] and (values["weights"] or len(run_names(values["name"])) == 1):
            raise UserError(f"--ensemble {values['ensemble']} joins runs: name several by commas, such as --name a,b")
        if values["time_budget"]:
            parse_duration(values["time_budget"])
            if values["tta"] == "none" and (values["ensemble"] == "weights" or len(run_names(values["name"])) == 1):
                raise UserError("--time_budget chooses among --tta x8 and several runs: give one of them")
        folder = first_folder(values)
        saved = {} if values["weights"] else load_options(folder) or {}
        if values["model"] != "test":
            _check_model(values["model"], saved, folder)
        check_identity(saved, options, folder, allowed=_ANY_SIDE if values["model"] == "test" else ())
        if options.sources["load_size"] != COMMAND_LINE:
            options = options.replace("--crop_size", load_size=values["crop_size"])
        if values["model"] == "test":
            options = options if values["weights"] else _choose_side(options, saved)
        if values["eval"]:
            return options.replace("--eval", test_norm="running")
        if values["test_norm"] == "auto" and saved.get("batch_size", {}).get("value", 1) > 1:
            return options.replace("training by batches", test_norm="running")
        return options


def _cuts_patches(mode: Any) -> bool:
    """Return whether a data set cuts images in training alone."""
    return mode in DATASETS.names() and hasattr(DATASETS.options(mode), "enlargement")


def _fills_holes(model: str, mode: Any) -> bool:
    """Return whether a method takes images together with masks, as some do with some data sets alone."""
    known = model in MODELS.names() and mode in DATASETS.names()
    return known and hasattr(MODELS.options(model), "fills_holes") and hasattr(DATASETS.options(mode), "draws_holes")


def run_fills_holes(saved: dict[str, Any]) -> bool:
    """Return whether a run takes images together with masks, by the options that it saved."""
    model, mode = (saved.get(name, {}).get("value") for name in ("model", "dataset_mode"))
    return _fills_holes(model, mode)


def run_names(name: str) -> list[str]:
    """Return the runs that ``--name`` lists."""
    return [part.strip() for part in name.split(",")]


def first_folder(values: dict[str, Any]) -> pathlib.Path:
    """Return the folder of the first run that ``--name`` lists; what it was trained with holds for the data."""
    return run_folder(values["checkpoints_dir"], run_names(values["name"])[0])


def members_of(options: Options) -> list[Options]:
    """Return for each run that ``--name`` lists what the same command line means for it alone."""
    names = run_names(options.values["name"])
    if len(names) == 1 or options.values["weights"]:
        return [options]
    told = (COMMAND_LINE, str(options.values["config"]))
    given = {name: value for name, value in options.values.items() if options.sources[name] in told}
    given = {name: value for name, value in given.items() if name not in _OF_ALL_RUNS}
    return [TestOptions().parse(as_words(given | {"name": name})) for name in names]


def as_words(values: dict[str, Any]) -> list[str]:
    """Return the command line that gives these values."""
    texts = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()}
    return [f"--{name}={value}" for name, value in texts.items()]


def weights_label(epoch: str, load_iter: int) -> str:
    """Return the first part of the weight files' names."""
    return f"iter_{load_iter}" if load_iter else epoch


def _from_weights(early: RunOptions) -> Source:
    """Read the architecture off the weights of a folder without options; the default model is then ``test``."""
    from inference.identity import identity_of_folder

    folder = first_folder(dataclasses.asdict(early))
    values = identity_of_folder(folder, weights_label(early.epoch, early.load_iter))
    return Source(f"weights in {folder}", values | {"model": "test"}, strict=False)


def _from_file(path: pathlib.Path, given: dict[str, Any]) -> Source:
    """Read the architecture off ``--weights``; results are named after the file, and computed in fp32 unless asked."""
    from inference.identity import identity_of_weights

    for flag in ("name", "epoch", "load_iter", "average"):
        if flag in given:
            raise UserError(f"--weights {path} takes the place of a run: leave out --{flag}")
    model = "inpaint" if given.get("mask") or given.get("hole_colour") else "test"
    own = {"model": model, "name": path.stem, "precision": "fp32"}  # as where the file comes from, to the level
    return Source(str(path), identity_of_weights(path) | own, strict=False)


def _check_model(model: str, saved: dict[str, Any], folder: Any) -> None:
    trained = saved["model"]["value"] if "model" in saved else model
    if model != trained:
        raise UserError(
            f"--model {model}: the run in {folder} was trained with --model {trained}; leave the flag out, or use "
            "--model test, which translates one folder of images"
        )


def _choose_side(options: Options, saved: dict[str, Any]) -> Options:
    """Let ``--model test`` take the only generator of a run, or the one that ``--direction`` names.

    ``G_A`` translates in the direction of the training, ``G_B`` back, from the target's channels to the source's.
    """
    values = options.values
    suffix = values["model_suffix"]
    if not suffix:
        suffix = _side(values, saved)
        options = options.replace("--direction", model_suffix=suffix)
    nc = {"input_nc": values["output_nc"], "output_nc": values["input_nc"]} if suffix == "_B" and saved else {}
    return options.replace("--direction", **nc)


def _side(values: dict[str, Any], saved: dict[str, Any]) -> str:
    from inference.identity import find_generators

    label = weights_label(values["epoch"], values["load_iter"])
    found = find_generators(first_folder(values), label)
    trained = saved["direction"]["value"] if "direction" in saved else "AtoB"
    if "G" in found and saved and values["direction"] != trained:
        raise UserError(
            f"--direction {values['direction']}: the run has one generator, trained {trained}; leave the flag out"
        )
    if "G" in found or not found:
        return ""
    return "_A" if values["direction"] == trained else "_B"


def _other_runs(folder: Any) -> str:
    runs = sorted(p.name for p in folder.parent.iterdir() if p.is_dir())[:8] if folder.parent.is_dir() else []
    return f" (there are {', '.join(runs)})" if runs else ""
