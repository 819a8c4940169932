"""Default < preset < saved run < config file < command line, and where each value came from."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from options.resolve import Options
from options.saved import format_options, load_options, save_options
from options.train_options import TrainOptions
from util.errors import UserError

Parse = Callable[..., Options]


@pytest.fixture
def parse(tmp_path: pathlib.Path) -> Parse:
    def run(*words: object) -> Options:
        common = ["--dataroot", ".", "--checkpoints_dir", tmp_path, "--name", "run"]
        return TrainOptions().parse([str(word) for word in [*common, *words]])

    return run


def _save(options: Options, tmp_path: pathlib.Path) -> None:
    save_options(options, tmp_path / "run", "train")


def _config(tmp_path: pathlib.Path, text: str) -> pathlib.Path:
    path = tmp_path / "flags.yaml"
    path.write_text(text)
    return path


def test_every_layer_wins_over_the_one_before(parse: Parse, tmp_path: pathlib.Path) -> None:
    first = parse("--model", "pix2pix", "--lr", 0.1, "--beta1", 0.6, "--n_epochs", 7)
    _save(first, tmp_path)
    config = _config(tmp_path, "lr: 0.2\nbeta1: 0.7\ncontinue_train: true\n")
    options = parse("--config", config, "--lr", 0.3)
    expected = {
        "display_port": (8097, "default"),
        "norm": ("batch", f"run {tmp_path / 'run'}"),
        "n_epochs": (7, f"run {tmp_path / 'run'}"),
        "beta1": (0.7, str(config)),
        "lr": (0.3, "command line"),
    }
    found = {name: (options.values[name], options.sources[name]) for name in expected}
    assert found == expected


def test_a_preset_is_marked_and_gives_way(parse: Parse) -> None:
    options = parse("--model", "pix2pix")
    assert (options.values["norm"], options.sources["norm"]) == ("batch", "preset")
    options = parse("--model", "pix2pix", "--norm", "instance", "--pool_size", 9)
    assert (options.values["norm"], options.sources["norm"]) == ("instance", "command line")
    assert options.values["pool_size"] == 9


def test_where_a_value_came_from_is_saved(parse: Parse, tmp_path: pathlib.Path) -> None:
    options = parse("--model", "pix2pix", "--ngf", 8)
    _save(options, tmp_path)
    saved = load_options(tmp_path / "run")
    assert saved is not None
    assert saved["ngf"] == {"value": 8, "source": "command line", "scope": "identity"}
    assert saved["norm"]["source"] == "preset"
    assert "name" not in saved, "session flags are never restored"
    lines = (tmp_path / "run" / "train_opt.txt").read_text().splitlines()
    (line,) = (line for line in lines if line.split(":")[0].strip() == "ngf")
    assert "8" in line
    assert "[command line; default: 64]" in line
    assert format_options(options) == (tmp_path / "run" / "train_opt.txt").read_text()


def test_auto_is_shown_as_it_was_given(parse: Parse) -> None:
    assert "batch_size: auto " in format_options(parse("--model", "pix2pix", "--batch_size", "auto"))


def test_session_flags_are_not_restored(parse: Parse, tmp_path: pathlib.Path) -> None:
    _save(parse("--model", "pix2pix", "--num_threads", 0, "--display_port", 9000), tmp_path)
    options = parse("--continue_train")
    assert (options.values["num_threads"], options.values["display_port"]) == (4, 8097)


def test_when_to_save_to_log_and_what_to_measure_is_restored(parse: Parse, tmp_path: pathlib.Path) -> None:
    given = {"keep_checkpoints": 2, "save_latest_freq": 40, "save_epoch_freq": 3, "print_freq": 7, "display_freq": 9}
    given |= {"lpips_weights": "squeezenet.pth"}
    _save(parse("--model", "pix2pix", *(word for name in given for word in (f"--{name}", given[name]))), tmp_path)
    options = parse("--continue_train")
    assert {name: options.values[name] for name in given} == given


def test_a_component_gets_only_its_own_frozen_options(parse: Parse) -> None:
    from training.settings import OptimizerOptions

    options = parse("--model", "pix2pix", "--lr", 0.5)
    assert options.of(OptimizerOptions) == OptimizerOptions(lr=0.5, pool_size=0)
    method = options.chosen("model")
    assert method is not None
    assert method[1].lambda_L1 == 100
    assert not hasattr(method[1], "lr")


def test_a_config_may_choose_components_and_use_their_flags(parse: Parse, tmp_path: pathlib.Path) -> None:
    config = _config(tmp_path, "model: pix2pix\ngan_mode: wgangp\nlambda_gp: 5\nno_flip: true\nmax_dataset_size: inf\n")
    values = parse("--config", config).values
    assert (values["lambda_gp"], values["no_flip"], values["max_dataset_size"]) == (5.0, True, None)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("batch_sise: 3\n", "batch_size"),
        ("- lr\n", "flag: value"),
        ("lr: [1\n", "not valid YAML"),
        ("lr: fast\n", "not a number"),
        ("batch_size: 1.5\n", "not a whole number"),
        ("n_epochs:\n", "needs a value"),
    ],
)
def test_a_wrong_config_is_one_line_naming_it(parse: Parse, tmp_path: pathlib.Path, text: str, part: str) -> None:
    config = _config(tmp_path, text)
    with pytest.raises(UserError, match=part) as caught:
        parse("--config", config)
    assert str(config) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_of_a_config_are_those_of_the_command_line(parse: Parse, tmp_path: pathlib.Path) -> None:
    config = _config(tmp_path, "compile: off\ncache: no\nno_flip: on\nserial_batches: no\nrot90: True\ndir_A: null\n")
    values = parse("--config", config).values
    assert (values["compile"], values["cache"], values["dir_A"]) == ("off", "no", None)
    assert [values[name] for name in ("no_flip", "serial_batches", "rot90")] == [True, False, True]


def test_a_missing_config_is_named(parse: Parse) -> None:
    with pytest.raises(UserError, match="nowhere.yaml"):
        parse("--config", "nowhere.yaml")


def test_older_spellings_work_in_a_config(parse: Parse, tmp_path: pathlib.Path) -> None:
    config = _config(tmp_path, "batchSize: 3\nwhich_model_netG: resnet_6blocks\n")
    values: dict[str, Any] = parse("--config", config).values
    assert (values["batch_size"], values["netG"]) == (3, "resnet_6blocks")


def test_the_suffix_is_a_template_of_flags(parse: Parse) -> None:
    options = parse("--model", "pix2pix", "--suffix", "{model}_{netG}_b{batch_size}")
    assert options.values["name"] == "run_pix2pix_unet_256_b1"


@pytest.mark.parametrize("suffix", ["{netZ}", "{", "{0}", "{model:q}", "{model.x}"])
def test_an_impossible_suffix_is_refused(parse: Parse, suffix: str) -> None:
    with pytest.raises(UserError, match="--suffix"):
        parse("--suffix", suffix)


def test_a_plugin_adds_a_model(parse: Parse, tmp_path: pathlib.Path) -> None:
    template = pathlib.Path("models/template_model.py").resolve()
    plugin = tmp_path / "my_model.py"
    plugin.write_text(template.read_text().replace('"template"', '"mine"').replace("lambda_regression", "lambda_mine"))
    options = parse("--plugin", plugin, "--model", "mine", "--lambda_mine", 3)
    assert options.values["lambda_mine"] == 3.0
    method = options.chosen("model")
    assert method is not None
    assert method[0].__name__ == "Template"


def test_a_missing_plugin_is_named(parse: Parse) -> None:
    with pytest.raises(UserError, match="--plugin nowhere.py"):
        parse("--plugin", "nowhere.py")
