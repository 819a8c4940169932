"""Older spellings of flags that tutorials still use."""

from __future__ import annotations

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


def modernise(name: str, value: str | None) -> tuple[str, str | None, str | None]:
    """Return the flag's name and value as they are written today, and a note when they changed."""
    if name == "no_lsgan":
        return "gan_mode", "vanilla", "note: --no_lsgan is now --gan_mode vanilla"
    if name in RENAMED:
        return RENAMED[name], value, f"note: --{name} is now --{RENAMED[name]}"
    return name, value, None
