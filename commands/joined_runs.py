"""One trained run, or several that are joined -> something that translates."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from commands.opened_run import folder_of, load_model, saved_domains
from data.listing import images_in
from data.masks_files import parse_colour
from data.value_range import spread
from inference.domain import Domain
from inference.engines.engines import Calibration, Engines
from inference.ensemble import Ensemble, Member, common_domains, soup, units_of
from inference.export.settings import ExportFileOptions
from inference.holes import HoleSource
from inference.predictor import Predictor
from inference.settings import EngineOptions, InferenceOptions
from inference.translator import Translator
from models.base import TranslationModel
from models.test_model import OneSided
from options.export_options import ExportedRunOptions
from options.resolve import Options
from options.test_options import TestOptions, as_words, members_of
from util.device import choose_device
from util.errors import UserError
from util.flags import flags_of


@dataclasses.dataclass(frozen=True)
class OpenedRuns:
    """One run, or several that are joined.

    Args:
        options: of the first one.
        domains: what the values of sources and results mean.
    """

    options: Options
    ensemble: Ensemble
    domains: dict[str, Domain]

    def predictor(self) -> Predictor:
        """Return what translates by all of them, as test options say."""
        options, device = self.options, choose_device(self.options.values["gpu_ids"])
        engines = Engines(options.of(EngineOptions), device, _calibration(options, self.ensemble.members[0].model))
        return Predictor(self.ensemble, device, options=options.of(InferenceOptions), engines=engines)

    def translator(self) -> Translator:
        """Return what translates single images, by models of one generator."""
        values, predictor = self.options.values, self.predictor()
        luma = any(domain.luma for domain in self.domains.values())
        if values["weights"]:  # which say nothing of it: a file that enlarges one channel
            luma = predictor.scale > 1 and values["input_nc"] == values["output_nc"] == 1
        channels = values["input_nc"], values["output_nc"]
        translator = Translator(predictor, channels, self.domains, luma=luma, holes=_holes(values))
        if values["calibration"] and predictor.engines is not None and predictor.engines.calibration is not None:
            folder = pathlib.Path(values["calibration"]).expanduser()
            predictor.engines.calibration = functools.partial(_as_translated, translator, folder)
        return translator


def open_runs(members: Sequence[Options], how: str | None = None) -> OpenedRuns:
    """Return the runs that test options describe, with their weights, on the CPU.

    Args:
        how: a value of ``--ensemble``.

    Raises:
        UserError: a run cannot be read, or the runs cannot be joined.
    """
    models = [load_model(options, folder_of(options)) for options in members]
    saved = [saved_domains(options, folder_of(options)) for options in members]
    names = [options.values["name"] for options in members]
    _check_alike(members, models)
    domains = common_domains(saved, names)
    norms = [options.values["test_norm"] for options in members]
    joined = [Member(m, norm, units_of(own, domains)) for m, norm, own in zip(models, norms, saved, strict=True)]
    if how == "weights":
        how, joined = None, [_soup(members, joined)]
    return OpenedRuns(members[0], Ensemble(joined, how or "mean", domains.get("B")), domains)


def _holes(values: Mapping[str, Any]) -> HoleSource | None:
    """Return what finds the holes of single images, None where the method fills none."""
    if "hole_colour" not in values:
        return None
    damage = parse_colour(values["hole_colour"], values["hole_tolerance"]) if values["hole_colour"] else None
    mask = pathlib.Path(values["mask"]).expanduser() if values["mask"] else None
    if mask is not None and not mask.exists():
        raise UserError(f"--mask {mask}: no such file or folder")
    return HoleSource(mask, values["invert_masks"], damage)


def open_named(options: Options) -> OpenedRuns:
    """Return the run or the runs that ``--name`` lists."""
    return open_runs(members_of(options), options.values["ensemble"])


def _check_alike(members: Sequence[Options], models: Sequence[TranslationModel]) -> None:
    """UserError where results of different kinds would be joined."""
    first, facts = members[0].values["name"], [_facts(*member) for member in zip(members, models, strict=True)]
    for options, own in zip(members, facts, strict=True):
        for what, value in own.items():
            if value != facts[0][what]:
                raise UserError(
                    f"--name: {what} is {facts[0][what]} for {first} and {value} for {options.values['name']}; name "
                    "runs where it is the same"
                )


def _facts(options: Options, model: TranslationModel) -> dict[str, Any]:
    values = options.values
    channels = {name: values[name] for name in ("input_nc", "output_nc")}
    return {"the result": model.result} | channels | {"the enlargement": model.scale}


def _soup(options: Sequence[Options], members: Sequence[Member]) -> Member:
    names = [each.values["name"] for each in options]
    for own, member, name in zip(options, members, names, strict=True):
        if member.units or (differing := _first_difference(options[0], own)):
            what = "value ranges" if member.units else differing
            raise UserError(f"--ensemble weights: {names[0]} and {name} have different {what}; use --ensemble mean")
    return Member(soup([member.model for member in members], names), members[0].test_norm)


def _first_difference(first: Options, other: Options) -> str | None:
    """Return the first flag that makes two networks different, with both values."""
    flags = {"netG", *(name for part in first.components if part.selector == "netG" for name in flags_of(part.options))}
    return next(
        (
            f"--{name} ({first.values[name]} and {other.values.get(name)})"
            for name in sorted(flags, key=lambda name: name != "netG")
            if first.flags[name].info.scope == "identity" and first.values[name] != other.values.get(name)
        ),
        None,
    )


def options_of(path: pathlib.Path, epoch: str, direction: str | None, gpu_ids: str) -> Options:
    """Return how a run folder, or one generator's weight file, is opened for one-sided translation in fp32."""
    words, path = {"dataroot": ".", "precision": "fp32", "gpu_ids": gpu_ids}, path.expanduser()
    if path.name in ("", ".."):  # the folder that one is in
        path = path.resolve()
    if path.is_file():
        return TestOptions().parse(as_words(words | {"weights": str(path)}))
    words |= {"name": path.name, "checkpoints_dir": str(path.parent), "epoch": epoch, "input": "."}
    return TestOptions().parse(as_words(words | ({"direction": direction} if direction else {})))


def open_run(path: pathlib.Path, epoch: str, direction: str | None, gpu_ids: str) -> Translator:
    """Open a run folder or a weight file for one-sided translation, in fp32."""
    return open_runs([options_of(path, epoch, direction, gpu_ids)]).translator()


def _as_translated(translator: Translator, folder: pathlib.Path) -> list[dict[str, Tensor]]:
    """Return the images of ``--calibration`` as the translator's own are, so that equal ones are known to be equal."""
    from inference.engines.settle import middle

    files = spread(images_in(folder, "the images of --calibration"), ExportFileOptions().num_images)
    batches = [middle(batch) for path in files for batch in translator.batches([path])]
    if not batches:
        raise UserError(f"--calibration {folder}: none of its images can be read; name another folder")
    return batches


def _calibration(options: Options, model: TranslationModel) -> Calibration | None:
    """Return what loads the images that int8 is calibrated on; None for models of several generators."""
    if not isinstance(model, OneSided):
        return None

    def load() -> list[dict[str, Tensor]]:
        from commands.export_images import ExportImages  # which opens data sets by way of this module

        values = options.values
        if values["weights"]:
            raise UserError("--precision int8: --weights takes --input with it, and a folder by --calibration")
        names = [field.name for field in dataclasses.fields(ExportedRunOptions)]
        run = ExportedRunOptions(**{name: values[name] for name in names})
        images = ExportImages(run, ExportFileOptions(calibration=values["calibration"]), options)
        return [{"A": image * 2 - 1} for image in images.calibration()]

    return load
