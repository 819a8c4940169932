"""Flags that training and testing share, and the steps both take from words to resolved options."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from data import DATASETS
from models import MODELS
from models.losses import GAN_MODES
from models.networks import DISCRIMINATORS, GENERATORS
from options.arguments import read_config, scan
from options.help import format_help
from options.resolve import COMMAND_LINE, Options, Source, resolve, use_plugins
from options.schema import Component
from util.errors import UserError
from util.flags import flags_of
from util.option import option

REGISTRIES = (MODELS, DATASETS, GENERATORS, DISCRIMINATORS, GAN_MODES)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Which run, which method, which machine."""

    name: str = option("experiment_name", "name of the run: its folder below --checkpoints_dir", "session")
    checkpoints_dir: str = option("./checkpoints", "folder of all runs", "session")
    model: str = option("cycle_gan", "the method: what is trained, and with which losses", "identity", registry=MODELS)
    dataset_mode: str = option("unaligned", "how folders become samples", "training", registry=DATASETS)
    gpu_ids: str = option("0", "GPU to use; -1 for the CPU; without a GPU the CPU is used", "session")
    seed: int = option(0, "seed of weights, samples, dropout and noise; the same seed gives the same run", minimum=0)
    epoch: str = option(
        "latest", "which saved weights test.py loads: latest, best (on the val split) or an epoch's number", "session"
    )
    load_iter: int = option(
        0, "test.py loads the weights that --save_by_iter kept at this image; 0: as --epoch says", "session", minimum=0
    )
    suffix: str = option("", "added to --name with a _; {model}, {netG} and other flags are filled in", "session")
    config: str | None = option(None, "YAML file of flags, one 'flag: value' per line", "session")
    plugin: tuple[str, ...] = option((), "Python files of your own, by commas; test.py needs them too", "session")
    verbose: bool = option(False, "print every network's layers", "session")
    dry_run: bool = option(False, "print the resolved options and parameter counts, then stop", "session")


class BaseOptions:
    """Command line words -> :class:`Options`. Subclasses name their root groups and extra sources."""

    script = ""
    summary = ""

    def roots(self) -> list[Component]:
        """Return the groups of flags that every command of this kind has."""
        raise NotImplementedError

    def extra_sources(self, early: RunOptions, given: dict[str, Any]) -> list[Source]:
        """Return sources below the config file, such as a saved run."""
        return []

    def of_other_scripts(self) -> dict[str, str]:
        """Return ``{flag: script}`` of flags that users give to the wrong script."""
        return {}

    def finish(self, options: Options) -> Options:
        """Derive what follows from other values and refuse contradictions."""
        return options

    def parse(self, argv: Sequence[str] | None = None) -> Options:
        """Resolve a command line (default ``sys.argv``); ``--help`` prints and exits.

        Raises:
            UserError: one line with the flag, the value and the fix.
        """
        words = list(sys.argv[1:] if argv is None else argv)
        wants_help = bool({"-h", "--help"} & set(words))
        given: dict[str, Any] = scan([w for w in words if w not in ("-h", "--help")])
        early = _peek(given)
        use_plugins(early.plugin, REGISTRIES)
        config = read_config(early.config) if early.config else {}
        if "plugin" in config:
            raise UserError(f"--config {early.config}: plugin runs code; name it on the command line, by --plugin")
        if "suffix" in config or "suffix" in given:
            given = self._with_full_name(config, given)
            early = _peek(given)
        sources = [] if wants_help else self.extra_sources(early, config | given)
        if config:
            sources.append(Source(str(early.config), config))
        sources.append(Source(COMMAND_LINE, given))
        options = resolve(self.roots(), sources, self.of_other_scripts)
        if wants_help:
            print(format_help(self.script, self.summary, options))
            sys.exit(0)
        return self.finish(options)

    def _with_full_name(self, config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return the command line with ``--suffix`` filled in and made part of ``--name``."""
        plain = resolve(self.roots(), [Source("--config", config, strict=False), Source(COMMAND_LINE, given)])
        return given | {"name": full_name(plain.values), "suffix": ""}


def _peek(given: dict[str, Any]) -> RunOptions:
    """Return the values of RunOptions that are needed before everything else can be resolved."""
    names = ("config", "plugin")
    first = _some(given, names)
    config = read_config(first["config"]) if first.get("config") else {}
    later = _some(config, ("name", "checkpoints_dir", "epoch", "load_iter"))
    return RunOptions(**(later | _some(given, ("name", "checkpoints_dir", "epoch", "load_iter", *names))))


def _some(raw: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    flags = flags_of(RunOptions)
    return {name: flags[name].convert(raw[name], COMMAND_LINE) for name in names if name in raw}


def root_flags(options: BaseOptions) -> dict[str, str]:
    """Return ``{flag: script}`` of all flags that every command of a script has."""
    return {flag: options.script for root in options.roots() for flag in flags_of(root.options)}


def check_value_range(options: Options) -> None:
    """UserError when ``--value_range`` or ``--preview_bands`` are not written as they must be."""
    from data.value_range import parse_spec  # numpy, which --help does not wait for
    from data.writers import parse_bands

    values = options.values
    parse_spec(values["value_range"])
    parse_bands(values["preview_bands"], max(values["input_nc"], values["output_nc"]))


def full_name(values: dict[str, Any]) -> str:
    """Return the run's name with the suffix template filled in from the other flags."""
    suffix = values["suffix"]
    if not suffix:
        return values["name"]
    try:
        return f"{values['name']}_{suffix.format(**values)}"
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(f"--suffix {suffix}: {error} is no flag; write for example {{model}}_{{netG}}") from None
