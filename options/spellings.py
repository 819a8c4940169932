"""Older spellings of flags that tutorials still use."""

from __future__ import annotations

from typing import Any

RENAMED = {
    "loadSize": "load_size",
    "fineSize": "crop_size",
    "batchSize": "batch_size",
    "nThreads": "num_threads",
    "which_direction": "direction",
    "which_model_netG": "netG",
    "which_model_netD": "netD",
    "resize_or_crop": "preprocess",
    "niter": "n_epochs",
    "niter_decay": "n_epochs_decay",
    "which_epoch": "epoch",
    "how_many": "num_test",
}

#: The established tool takes these with every model, whether or not the model has such a part.
ALWAYS_ACCEPTED = frozenset(
    ("netG", "ngf", "no_dropout", "netD", "ndf", "n_layers_D", "norm", "init_type", "init_gain", "gan_mode")
)


def modernise(name: str, value: Any) -> tuple[str, Any, str | None]:
    """Return the flag's name and value as they are written today, and a note when they changed."""
    if name == "no_lsgan":
        mode = "lsgan" if str(value).lower() in ("false", "no", "off", "0") else "vanilla"
        return "gan_mode", mode, f"note: --no_lsgan is now --gan_mode {mode}"
    if name in RENAMED:
        return RENAMED[name], value, f"note: --{name} is now --{RENAMED[name]}"
    return name, value, None
