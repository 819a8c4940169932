"""Every flag and default of the established command line, its older spellings, and what mistakes look like."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from options.resolve import Options
from options.spellings import RENAMED
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

BOTH: dict[str, Any] = {
    **{"name": "experiment_name", "gpu_ids": "0", "checkpoints_dir": "./checkpoints", "model": "cycle_gan"},
    **{"input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "basic", "netG": "resnet_9blocks"},
    **{"norm": "instance", "init_type": "normal", "init_gain": 0.02, "dataset_mode": "unaligned"},
    **{"direction": "AtoB", "serial_batches": False, "num_threads": 4, "batch_size": 1, "load_size": 286},
    **{"crop_size": 256, "max_dataset_size": None, "preprocess": "resize_and_crop", "no_flip": False},
    **{"display_winsize": 256, "epoch": "latest", "load_iter": 0, "verbose": False, "suffix": ""},
}
TRAIN: dict[str, Any] = BOTH | {
    **{"display_freq": 400, "display_ncols": 4, "display_id": 1, "display_server": "http://localhost"},
    **{"display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100, "no_html": False},
    **{"save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False, "continue_train": False},
    **{"epoch_count": 1, "phase": "train", "n_epochs": 100, "n_epochs_decay": 100, "beta1": 0.5, "lr": 0.0002},
    **{"gan_mode": "lsgan", "pool_size": 50, "lr_policy": "linear", "lr_decay_iters": 50, "use_wandb": False},
    **{"no_dropout": True, "lambda_A": 10.0, "lambda_B": 10.0, "lambda_identity": 0.5},
}
PIX2PIX: dict[str, Any] = TRAIN | {
    **{"model": "pix2pix", "norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "pool_size": 0},
    **{"gan_mode": "vanilla", "lambda_L1": 100.0, "no_dropout": False},
}
TEST: dict[str, Any] = {
    **{"results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False, "num_test": None},
    **{"model": "test", "dataset_mode": "single", "model_suffix": "", "load_size": 256, "crop_size": 256},
    **{"no_flip": True, "serial_batches": True, "batch_size": 1, "display_winsize": 256, "epoch": "latest"},
    **{"load_iter": 0, "direction": "AtoB", "num_threads": 4, "preprocess": "resize_and_crop", "suffix": ""},
}


def train(*words: object) -> Options:
    return TrainOptions().parse(["--dataroot", ".", *map(str, words)])


def _wrong(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    return {name: (found.get(name, "missing"), value) for name, value in expected.items()
            if name not in found or found[name] != value}  # fmt: skip


def test_cycle_gan_is_the_default_with_every_established_flag() -> None:
    assert _wrong(train().values, TRAIN) == {}
    assert isinstance(train().values["wandb_project_name"], str)


def test_pix2pix_brings_its_own_defaults() -> None:
    expected = {k: v for k, v in PIX2PIX.items() if k not in ("lambda_A", "lambda_B", "lambda_identity")}
    assert _wrong(train("--model", "pix2pix").values, expected) == {}


def test_template_is_an_aligned_regression() -> None:
    values = train("--model", "template").values
    assert (values["dataset_mode"], values["lambda_regression"]) == ("aligned", 1.0)


@pytest.fixture(scope="module")
def foreign_run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the flags of a folder that holds one generator of 64 filters and no options."""
    import a2b
    from models.files import save_networks

    folder = tmp_path_factory.mktemp("checkpoints") / "foreign"
    folder.mkdir()
    save_networks({"G": a2b.build_generator("resnet_9blocks", no_dropout=True)}, folder, "latest")
    return ["--name", folder.name, "--checkpoints_dir", str(folder.parent), "--dataroot", "."]


def test_test_has_every_established_flag(foreign_run: list[str]) -> None:
    values = TestOptions().parse(foreign_run).values
    identity = {"netG": "resnet_9blocks", "ngf": 64, "norm": "instance", "no_dropout": True, "input_nc": 3}
    assert _wrong(values, TEST | identity) == {}
    assert values["load_size"] == values["crop_size"]


@pytest.mark.parametrize("flag", ["eval", "no_flip", "serial_batches", "verbose"])
def test_switches_of_test_can_be_repeated(foreign_run: list[str], flag: str) -> None:
    assert TestOptions().parse([*foreign_run, f"--{flag}"]).values[flag] is True


@pytest.mark.parametrize("name", sorted(set(BOTH) - {"name", "checkpoints_dir", "max_dataset_size"}))
def test_test_accepts_every_flag_that_it_shares_with_train(foreign_run: list[str], name: str) -> None:
    default = {"model": "test", "dataset_mode": "single", "suffix": "''"} | TEST
    value = str(default.get(name, BOTH[name]))
    given = TestOptions().parse([*foreign_run, f"--{name}", value, "--no_dropout"]).values
    assert name not in given or str(given[name]) == value


def test_established_flags_without_a_use_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "n_layers_D" not in train("--netD", "basic", "--n_layers_D", 3).values
    assert "gan_mode" not in train("--model", "template", "--gan_mode", "lsgan").values
    assert capsys.readouterr().err.count("has no effect here") == 2


OLDER = {
    **{"loadSize": ("load_size", 300), "fineSize": ("crop_size", 128), "batchSize": ("batch_size", 3)},
    **{"nThreads": ("num_threads", 2), "which_direction": ("direction", "BtoA"), "niter": ("n_epochs", 5)},
    **{"which_model_netG": ("netG", "resnet_6blocks"), "which_model_netD": ("netD", "pixel")},
    **{"resize_or_crop": ("preprocess", "none"), "niter_decay": ("n_epochs_decay", 6), "which_epoch": ("epoch", "7")},
}


@pytest.mark.parametrize("old", OLDER)
def test_an_older_spelling_is_accepted_and_the_new_one_named(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    new, value = OLDER[old]
    assert train(f"--{old}", value).values[new] == value
    assert capsys.readouterr().err == f"note: --{old} is now --{new}\n"


def test_the_older_spellings_of_test_and_of_the_loss(foreign_run: list[str]) -> None:
    assert set(RENAMED) - {"how_many"} == set(OLDER)
    assert TestOptions().parse([*foreign_run, "--how_many", "3"]).values["num_test"] == 3
    assert train("--no_lsgan").values["gan_mode"] == "vanilla"


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--no_flip"], True),
        (["--no_flip", "false"], False),
        (["--no_flip", "False"], False),
        (["--no_flip=true"], True),
        (["--no_flip", "0"], False),
        (["--no_flip", "yes"], True),
        (["--no_flip", "--lr", "0.1"], True),
        (["--no_flip", "--no_flip", "false"], False),
        ([], False),
    ],
)
def test_spellings_of_switches(words: list[str], value: bool) -> None:
    assert train(*words).values["no_flip"] is value


def test_the_last_mention_wins_and_negative_numbers_need_no_quotes() -> None:
    values = train("--gpu_ids", "-1", "--lr", "0.1", "--lr=2e-4", "--max_dataset_size", "inf").values
    assert (values["gpu_ids"], values["lr"], values["max_dataset_size"]) == ("-1", 0.0002, None)


def test_two_names_of_one_norm() -> None:
    assert {train("--norm", name).values["norm"] for name in ("sync_batch", "syncbatch")} <= {"sync_batch", "syncbatch"}


WRONG = {
    "--batch_sise 4": "did you mean --batch_size",
    "--batch 4": "unknown flag --batch",  # abbreviations are off
    "--lr fast": "--lr fast is not a number",
    "--batch_size 1.5": "--batch_size 1.5 is not a whole number",
    "--batch_size": "--batch_size needs a value",
    "--netG nafnet --naf_encoder 1,two": "--naf_encoder two is not a whole number",
    "--netG autoencoder_linear --ae_widths 24,0": "--ae_widths 0 is too small; the least is 1",
    "--batch_size 0": "too small; the least is 1",
    "--dir_A=": "--dir_A '' is empty; give a value, or leave the flag out",
    "--beta1 1.5": "too large",
    "--lr -1": "too small",
    "--lr nan": "--lr",
    "--lr inf": "--lr",
    "--lambda_A nan": "--lambda_A",
    "--no_flip perhaps": "true or false",
    "--norm instence": "did you mean instance",
    "--netG resnet": "choose from",
    "--model pix2pics": "did you mean pix2pix",
    "--model colorisation": "unknown model",
    "--direction BtoC": "choose from AtoB, BtoA",
    "--lambda_L1 5": "belongs to --model ",
    "--n_blocks 4": "belongs to --netG",
    "--lambda_gp 4": "belongs to --gan_mode wgangp",
    "--load_size 100 --crop_size 200": "--load_size 100 is smaller than --crop_size 200",
    "--n_epochs 0 --n_epochs_decay 0": "nothing to train",
    "--epoch_count 0": "--epoch_count",
    "--epoch_count 201": "beyond the last epoch",
    "--display_port 99999": "too large",
    "--name a/b": "without slashes",
    "--name ..": "without slashes",
    "--name a,b": "several runs to test.py",
    "--lr 0.1 0.2": "unexpected '0.2'",
    "lr 0.1": "unexpected 'lr'",
    "--gan_mode hinge2": "did you mean hinge",
    "--num_test 5": "--num_test belongs to test.py",
    "--seed 99999999999999999999999": "the most is 9223372036854775807",
    "--split_seed -99999999999999999999999": "the least is -9223372036854775807",
    "--value_range 5": "--value_range 5: write auto, dtype or MIN,MAX",
    "--value_range 5,1": "with MIN < MAX",
    "--value_range nan,1": "--value_range nan,1: write",
    "--value_range 0,1/2,3/4,5": "write one range, or SOURCE/TARGET",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_one_line_that_names_it(words: str, tmp_path: pathlib.Path) -> None:
    where = [] if words.startswith("lr") else ["--dataroot", ".", "--checkpoints_dir", str(tmp_path)]
    with pytest.raises(UserError) as caught:
        TrainOptions().parse([*where, *words.split()])
    message = str(caught.value)
    assert WRONG[words] in message
    assert "\n" not in message
    assert len(message) < 400  # the names of all generators


def test_a_missing_dataroot_is_named() -> None:
    with pytest.raises(UserError, match="--dataroot is missing"):
        TrainOptions().parse([])


def test_a_missing_run_names_the_runs_there_are(foreign_run: list[str], tmp_path: pathlib.Path) -> None:
    words = ["--dataroot", ".", "--name", "foregin", *foreign_run[2:4]]
    with pytest.raises(UserError, match="there are foreign"):
        TestOptions().parse(words)
    with pytest.raises(UserError, match="--continue_train: no run"):
        train("--continue_train", "--checkpoints_dir", tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        *("train.py --model pix2pix", "train.py --dataroot . --batch_sise 3", "train.py --dataroot /nowhere/at/all"),
        *("test.py --dataroot . --name no_such_run", "train.py --dataroot . --config nowhere.yaml"),
    ],
)
def test_a_script_ends_with_code_2_and_one_line(words: str, script: Any, tmp_path: pathlib.Path) -> None:
    small = ["--netG", "resnet_6blocks", "--ngf", "2", "--ndf", "2"] if "nowhere/at" in words else []
    done = script(*words.split(), "--checkpoints_dir", tmp_path, *small)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert list(tmp_path.iterdir()) == [], "nothing is written before everything is understood"


@pytest.mark.parametrize(
    ("words", "part"),
    [("--n_epochs 5", "--n_epochs belongs to train.py"), ("--value_range 5,1", "--value_range 5,1: write auto, dtype")],
)
def test_a_mistake_in_a_test_is_one_line_too(foreign_run: list[str], words: str, part: str) -> None:
    with pytest.raises(UserError, match=part):
        TestOptions().parse([*foreign_run, *words.split()])


def test_help_shows_only_the_chosen_components(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        TrainOptions().parse(["--help", "--model", "pix2pix", "--netD", "n_layers"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"--{flag} " in text for flag in ("dataroot", "lambda_L1", "n_layers_D", "lr"))
    assert "--lambda_A" not in text
    assert "generator 'unet_256'" in text
