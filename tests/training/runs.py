"""Runs of the tests of the trainer: their losses, and whether two are the same."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any

import torch

from commands.build import build_model
from models.files import save_networks
from options.saved import save_options
from options.train_options import TrainOptions
from training.checkpoint import load_state

EPOCHS = ["--n_epochs", "1", "--n_epochs_decay", "1", "--batch_size", "2"]  # 2 epochs of 3 steps of 2 images
PATCHES = ["--preprocess", "crop", "--crop_size", "32", "--scale", "2"]
CLASSES = ["--classes", "trainA,trainB,testA,testB", "--max_dataset_size", "6"]
DIFFUSION = ["--diffusion_widths", "1,2", "--diffusion_blocks", "1", "--preview_steps", "2"]
#: methods that differ from another one, which is in METHODS, in numbers alone
VARIANTS = {"lama", "deepfillv2", "aot_gan", "gin"}
METHODS = {
    "pix2pix": ["--no_dropout", "false", "--pool_size", "3"],
    "cycle_gan": ["--pool_size", "3", "--gan_mode", "wgangp"],
    "cut": ["--num_patches", "16", "--netF_nc", "8", "--lambda_R1", "1", "--R1_every", "2"],
    "fastcut": ["--num_patches", "16", "--netF_nc", "8", "--augment", "color", "--augment_p", "auto"],
    "classify": [*CLASSES, "--class_encoder", "test_convnext"],
    "colorization": ["--netG", "unet", "--num_downs", "3", "--upsample", "resize", "--augment", "color,translation"],
    "template": ["--preprocess", "crop", "--crop_size", "16"],
    "distill": ["--lambda_features", "10", "--lambda_L1", "1"],
    "levels": ["--level_encoder", "test_convnext", "--level_tolerance", "0.1"],
    "semi": ["--dir_U", "train", "--lambda_cycle", "1", "--pool_size", "3"],
    "sr": [*PATCHES, "--netG", "fsrcnn", "--degradation", "real_esrgan"],
    "srgan": [*PATCHES, "--netG", "srresnet", "--lambda_VGG", "0", "--lambda_L1", "1"],
    "esrgan": [*PATCHES, "--netG", "edsr", "--n_blocks", "1", "--netD", "basic", "--lambda_VGG", "0"],
    "inpaint": ["--netD", "basic", "--mask_kinds", "blobs,lines", "--lambda_FM", "1"],
    "palette": ["--netG", "diffusion", *DIFFUSION, "--sampling_steps", "3", "--ema_decay", "0.9"],
    "real_esrgan": [*PATCHES, "--netG", "compact", "--lambda_VGG", "0", "--ema_decay", "0.9"],
}


@functools.cache
def teacher() -> str:
    """Return the folder of a run to learn from: a small U-Net as it begins."""
    folder = pathlib.Path(tempfile.mkdtemp()) / "teacher"
    folder.mkdir()
    words = ["--model", "template", "--netG", "unet", "--num_downs", "3", "--ngf", "4", "--crop_size", "32"]
    options = TrainOptions().parse(["--dataroot", ".", "--init_gain", "0.3", *words])
    save_options(options, folder, "train")
    save_networks(build_model(options, train=True).networks(), folder, "latest")
    return str(folder)


def log(folder: pathlib.Path) -> list[str]:
    """Return the losses of every step without times."""
    lines = (folder / "loss_log.txt").read_text().splitlines()
    return [line[: line.index("time")] + line[line.index(") ") :] for line in lines if line.startswith("(")]


def assert_equal(ours: Any, theirs: Any, place: str = "state") -> None:
    """Compare nested plain values; tensors bit by bit."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), place
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs), place
        for key in ours:
            assert_equal(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), place
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(one, other, f"{place}[{index}]")
    else:
        assert ours == theirs, place


def assert_same_run(one: pathlib.Path, other: pathlib.Path) -> None:
    states = [load_state(folder) for folder in (one, other)]
    for state in states:
        del state["labels"]  # a run that is saved twice at one position names only the second time's files
    assert_equal(*states)
    assert log(one) == log(other)
    files = sorted(path.name for path in one.glob("*_net_*.pth"))
    assert files == sorted(path.name for path in other.glob("*_net_*.pth"))
    for name in files:
        assert_equal(torch.load(one / name, weights_only=True), torch.load(other / name, weights_only=True), name)
