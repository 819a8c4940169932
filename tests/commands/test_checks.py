"""Data and sizes that the chosen networks cannot train on: one line before anything is written."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch

from commands.checks import CheckedLoader, SizeCheck, check_crops
from options.train_options import TrainOptions
from util.errors import UserError

Train = Callable[..., int]


def size_check(*words: str) -> SizeCheck:
    return SizeCheck(TrainOptions().parse(["--dataroot", ".", *words]))


def batch(height: int, width: int, target: int = 1, **more: Any) -> dict[str, Any]:
    """Return zeros (1,3,H,W), their targets ``target`` times as large."""
    size = (target * height, target * width)
    return {"A": torch.zeros(1, 3, height, width), "B": torch.zeros(1, 3, *size), "A_paths": ["a.png"], **more}


def refused(folder: pathlib.Path, train: Train, *words: object) -> str:
    """Return the one line that a command ends with, having written nothing."""
    with pytest.raises(UserError) as caught:
        train(*words, "--checkpoints_dir", folder, "--name", "x", "--max_steps", 2)
    assert not (folder / "x" / "latest_net_G.pth").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_method_that_needs_a_target_refuses_data_without(
    train: Train, tiny: list[str], unaligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--dataroot", unaligned / "trainA", "--dataset_mode", "single", *tiny]
    message = refused(tmp_path, train, "--model", "pix2pix", *words)
    assert message.startswith("--dataset_mode single: it gives no image B, which --model pix2pix trains on")
    assert message.endswith("use --dataset_mode aligned")
    assert "use --dataset_mode unaligned" in refused(tmp_path, train, "--model", "cycle_gan", *words)


@pytest.mark.parametrize("model", ["pix2pix", "template"])
def test_a_method_of_pairs_refuses_random_partners(
    model: str, train: Train, tiny: list[str], unaligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--model", model, "--dataroot", unaligned, "--dataset_mode", "unaligned", *tiny]
    message = refused(tmp_path, train, *words)
    assert message.startswith(f"--dataset_mode unaligned: its images are not paired, but --model {model}")
    assert "--dataset_mode aligned or another data set of pairs" in message


def test_an_unpaired_method_takes_pairs(
    train: Train, tiny: list[str], aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--model", "cycle_gan", "--dataroot", aligned, "--dataset_mode", "aligned", *tiny]
    assert train(*words, "--checkpoints_dir", tmp_path, "--name", "x", "--max_steps", 1) == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--netG resnet_6blocks --crop_size 16", "--crop_size 16 is too small for --netD basic; use --crop_size 24"),
        ("--netG resnet_6blocks --crop_size 4", "--crop_size 4 is too small for --netG resnet_6blocks; use"),
        ("--netG unet_128 --crop_size 128 --netD n_layers --n_layers_D 8", "too small for --netD n_layers; use"),
        ("--netG resnet_6blocks --crop_size 64 --progressive_sizes 8,64", "--progressive_sizes 8 is too small"),
        ("--netG srresnet --scale 2 --n_blocks 1 --crop_size 32", "--scale 2: --model pix2pix needs outputs of"),
        ("--netG srresnet --scale 2 --n_blocks 1 --crop_size 32 --model cycle_gan", "use --scale 1"),
    ],
)
def test_a_crop_that_networks_cannot_take_names_the_smallest_that_they_can(words: str, part: str) -> None:
    given = ["--dataroot", ".", "--model", "pix2pix", *words.split()]
    with pytest.raises(UserError, match=part):
        check_crops(TrainOptions().parse(given))


@pytest.mark.parametrize("words", ["", "--model cycle_gan", "--netG resnet_6blocks --crop_size 24"])
def test_sizes_that_work_are_taken(words: str) -> None:
    check_crops(TrainOptions().parse(["--dataroot", ".", "--model", "pix2pix", *words.split()]))


def test_the_size_that_is_named_works_and_the_one_before_does_not() -> None:
    words = ["--model", "pix2pix", "--netG", "resnet_6blocks"]
    check = size_check(*words)
    with pytest.raises(UserError, match="--crop_size 20 is too small.*--crop_size 24 or more"):
        check.square("crop_size", 20)
    check.square("crop_size", 24)


def test_checking_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    size_check("--model", "pix2pix", "--netG", "resnet_6blocks").square("crop_size", 32)
    assert torch.equal(before, torch.get_rng_state())


def test_a_small_file_among_images_that_are_not_cropped_is_named() -> None:
    check = size_check("--model", "pix2pix", "--netG", "resnet_6blocks", "--preprocess", "none")
    batches = [batch(64, 48), batch(50, 70), batch(16, 16, A_paths=["small.png"])]

    class Loader:
        dataset = batches

        def epoch(self, epoch: int, offset: int = 0) -> Any:
            return iter(batches[offset:])

    found = CheckedLoader(Loader(), check).epoch(1)
    assert next(found) is batches[0]
    assert next(found) is batches[1]
    with pytest.raises(UserError, match=r"small.png: 16x16 pixels in training are too small for --netD basic; use"):
        next(found)


def test_targets_must_be_as_much_larger_as_the_network_makes_images() -> None:
    words = "--model pix2pix --lambda_GAN 0 --netG srresnet --n_blocks 1 --crop_size 32 --scale 2"
    check = size_check(*words.split())
    check.batch(batch(32, 32, target=2))
    with pytest.raises(
        UserError, match=r"--scale 2: a.png becomes 64x64 pixels, but its target has 32x32; use --scale 1"
    ):
        check.batch(batch(32, 32))


def test_whole_images_that_the_network_enlarges_are_refused_where_no_size_would_work() -> None:
    words = "--model pix2pix --netG srresnet --n_blocks 1 --preprocess none --scale 2"
    check = size_check(*words.split())
    with pytest.raises(UserError, match="--scale 2: --model pix2pix needs outputs of the inputs' size.*--scale 1"):
        check.batch(batch(32, 32))


def test_a_loss_that_cannot_take_the_channels_says_so(tmp_path: pathlib.Path) -> None:
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "dino.pth")
    words = "--model sr --netG fsrcnn --scale 2 --crop_size 48 --input_nc 4 --output_nc 4 --lambda_DINO 1"
    weights = ["--dino_model", "test_vit", "--dino_weights", str(tmp_path / "dino.pth")]
    check = size_check(*words.split(), *weights)
    with pytest.raises(UserError, match="--lambda_DINO needs images of 1 or 3 channels, not 4"):
        check.square("crop_size", 48)


@pytest.mark.parametrize("words", ["--gan_mode relativistic", "--lambda_FM 1"])
def test_partners_of_another_size_are_refused_where_losses_compare_them(words: str) -> None:
    check = size_check("--model", "cycle_gan", "--netG", "resnet_6blocks", "--preprocess", "none", *words.split())
    pair = batch(32, 32) | {"B": torch.zeros(1, 3, 48, 40)}
    with pytest.raises(UserError, match="a.png: 32x32 pixels, but the image of B .* 40x48, and these losses compare"):
        check.batch(pair)
    size_check("--model", "cycle_gan", "--netG", "resnet_6blocks", "--preprocess", "none").batch(pair)


def test_targets_are_cut_with_their_odd_inputs() -> None:
    words = "--model sr --netG rrdb --n_blocks 1 --scale 2 --crop_size 50"
    size_check(*words.split()).batch(batch(25, 25, target=2))


def test_a_small_folder_of_whole_images_ends_in_one_line(train: Train, tiny: list[str], tmp_path: pathlib.Path) -> None:
    from PIL import Image

    (tmp_path / "data" / "train").mkdir(parents=True)
    Image.new("RGB", (32, 16), "red").save(tmp_path / "data" / "train" / "small.png")
    message = refused(tmp_path, train, "--model", "pix2pix", "--dataroot", tmp_path / "data", *tiny)
    assert "small.png: 16x16 pixels in training are too small for --netD basic" in message
