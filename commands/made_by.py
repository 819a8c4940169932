"""What the images of a results folder were made by, so that ``--skip_existing`` takes up that test and no other."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from torch import nn

from options.resolve import Options
from util.errors import UserError
from util.files import write_text

FILE = "made_by.json"
# flags that change which images are made, where, and how soon, but not what they look like
_FREE = frozenset(
    ("batch_size", "cache", "cache_limit", "checkpoints_dir", "config", "display_winsize", "dry_run", "fid_weights")
    + ("gpu_ids", "max_dataset_size", "max_memory", "num_test", "num_threads", "on_bad_file", "preview_bands")
    + ("results_dir", "scratch_dir", "skip_existing", "time_budget", "verbose")
)


def made_by(options: Options, networks: Iterable[nn.Module]) -> dict[str, Any]:
    """Return the flags that decide what images look like, and a digest of the weights."""
    flags = {name: str(value) for name, value in options.values.items() if name not in _FREE}
    if options.values["dataroot"]:
        flags["dataroot"] = str(pathlib.Path(options.values["dataroot"]).expanduser().resolve())
    digest = hashlib.blake2b(digest_size=16)
    for network in networks:
        for tensor in network.state_dict().values():
            digest.update(tensor.detach().cpu().numpy().tobytes())
    return {"flags": flags, "weights": digest.hexdigest()}


def check_same(folder: pathlib.Path, now: dict[str, Any]) -> None:
    """UserError where the images of a folder were made by other flags or weights; older folders do not say."""
    try:
        before = json.loads((folder / FILE).read_text(encoding="utf-8"))
        flags, weights = dict(before["flags"]), before["weights"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    fix = "leave out --skip_existing to make all of them anew, or name another --results_dir"
    for name, value in now["flags"].items():
        if flags.get(name, value) != value:
            made = f"--{name} {flags[name]}, not {value}"
            raise UserError(f"--skip_existing: images in {folder} were made with {made}; {fix}")
    if weights != now["weights"]:
        raise UserError(f"--skip_existing: images in {folder} were made by other weights of the run; {fix}")


def record(folder: pathlib.Path, now: dict[str, Any]) -> None:
    """Keep in a folder of results what makes its images."""
    write_text(folder / FILE, json.dumps(now, indent=1) + "\n")
