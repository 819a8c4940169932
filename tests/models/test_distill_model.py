"""A student copies its teacher: outputs, and where features are active, whatever the two networks are."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from commands.build import build_model
from commands.teacher import normalise_by_image
from inference.predictor import use_image_statistics
from models.distill_model import activity, with_feature_maps
from options.saved import save_options
from options.train_options import TrainOptions
from tests.training.runs import teacher
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError


def make(tiny: list[str], *words: str) -> Any:
    flags = ["--dataroot", ".", "--model", "distill", *tiny, "--init_gain", "0.1", "--teacher", teacher(), *words]
    return build_model(TrainOptions().parse(flags), train=True).train()


def batch() -> dict[str, Any]:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return {"A": images, "B": images, "A_paths": ["a", "b"], "B_paths": ["a", "b"]}


def test_the_student_becomes_like_the_teacher_and_the_teacher_stays(tiny: list[str]) -> None:
    model, data = make(tiny, "--lambda_features", "10"), batch()
    before = {key: value.clone() for key, value in model._teacher[0].state_dict().items()}
    step = Updater(model, OptimizerOptions(lr=0.003), StepOptions(), 0, Compute(torch.device("cpu")))
    losses = [step.step(data, number) for number in range(40)]
    assert set(losses[0]) == {"G_teacher", "G_features"}
    assert all(losses[-1][name] < 0.6 * losses[0][name] for name in losses[0])
    assert all(torch.equal(value, before[key]) for key, value in model._teacher[0].state_dict().items())
    assert set(model.networks()) == {"G"} and not any("teacher" in key for key in model.state_dict())


def test_a_copy_of_the_teacher_has_nothing_to_learn(tiny: list[str]) -> None:
    model, data = make(tiny, "--lambda_features", "10", "--netG", "unet", "--num_downs", "3"), batch()
    model._teacher = (model.G,)
    assert all(value.item() == pytest.approx(0, abs=1e-5) for value in model.loss_G(data, model(data)).values())


def test_each_network_runs_once_a_step(tiny: list[str]) -> None:
    model, calls = make(tiny, "--lambda_features", "10"), list[str]()
    model.G.register_forward_hook(lambda *_: calls.append("student"))
    model._teacher[0].register_forward_hook(lambda *_: calls.append("teacher"))
    updater = Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu")))
    for number in range(2):
        updater.step(batch(), number)
    assert calls == ["student", "teacher"] * 2


def test_one_run_gives_the_gradient_of_a_run_for_images_and_one_for_features(tiny: list[str]) -> None:
    model = make(tiny, "--lambda_features", "10").double()
    data = {key: value.double() if torch.is_tensor(value) else value for key, value in batch().items()}
    torch.stack(list(model.loss_G(data, model(data)).values())).sum().backward()
    found = [p.grad for p in model.G.parameters()]
    model.G.zero_grad(set_to_none=True)
    master = model._teacher_for(data["A"])
    (100 * (model.G(data["A"]) - master(data["A"])).abs().mean()).backward()
    student, wanted = (with_feature_maps(network, data["A"])[1] for network in (model.G, master))
    (10 * activity(student, wanted).mean()).backward()
    for ours, parameter in zip(found, model.G.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)
    assert any(gradient.abs().max() > 1e-6 for gradient in found if gradient is not None)


def test_targets_count_when_they_are_weighted(tiny: list[str]) -> None:
    assert not make(tiny).paired
    model, data = make(tiny, "--lambda_L1", "3"), batch()
    images = model(data)
    expected = 3 * (images["fake_B"] - data["B"]).abs().mean()
    assert model.paired and model.loss_G(data, images)["G_L1"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_activity_compares_places_and_not_widths() -> None:
    maps = {(2, 2): torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]]])}
    wide = {(2, 2): torch.tensor([[[[0.5, 0.0], [0.0, 0.0]]] * 4]).reshape(1, 4, 2, 2), (9, 9): torch.ones(1, 1, 9, 9)}
    assert activity(maps, wide).item() == pytest.approx(0, abs=1e-6)
    moved = {(2, 2): torch.tensor([[[[0.0, 7.0], [0.0, 0.0]]]])}
    assert activity(maps, moved).item() == pytest.approx(2)
    with pytest.raises(UserError, match="no feature maps of one size"):
        activity(maps, {(3, 3): torch.ones(1, 1, 3, 3)})


def test_feature_maps_are_the_last_of_each_size_below_the_images() -> None:
    layers = [nn.Conv2d(1, 1, 1), nn.Conv2d(1, 2, 2, 2), nn.Conv2d(2, 3, 1), nn.ConvTranspose2d(3, 1, 2, 2)]
    network, x = nn.Sequential(*layers), torch.rand(1, 1, 4, 4)
    image, maps = with_feature_maps(network, x)
    assert torch.equal(image, network(x))
    assert {size: value.shape[1] for size, value in maps.items()} == {(2, 2): 3}
    assert not any(layer._forward_hooks for layer in layers)


def test_the_teachers_norms_do_what_they_do_when_it_is_tested() -> None:
    def network() -> nn.Sequential:
        made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
        nn.init.uniform_(made[1].weight, generator=torch.Generator().manual_seed(1))
        made[0].load_state_dict({"weight": torch.arange(27.0).reshape(3, 1, 3, 3), "bias": torch.ones(3)})
        return made.eval()

    tested, taught = network(), network()
    use_image_statistics(tested)
    normalise_by_image(taught)
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(taught(x), torch.cat([tested(part) for part in x.split(1)]))


def test_a_student_takes_over_the_teachers_value_ranges(
    train: Any, tiny: list[str], aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, *tiny, "--max_steps", "1"]
    train("--model", "template", *words, "--name", "big", "--value_range", "0,200")
    assert train("--model", "distill", *words, "--name", "small", "--teacher", "big", "--ngf", "2") == 0
    big, small = (json.loads((tmp_path / name / "data.json").read_text()) for name in ("big", "small"))
    assert big == small and small["A"]["range"] == {"low": 0.0, "high": 200.0}


def test_a_run_that_fills_holes_is_no_teacher(tiny: list[str], tmp_path: pathlib.Path) -> None:
    save_options(TrainOptions().parse(["--dataroot", ".", "--model", "inpaint"]), tmp_path, "train")
    with pytest.raises(UserError, match="--teacher .*: it fills holes; name a run that makes images from whole ones"):
        make(tiny, "--teacher", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher", "nowhere"], "nowhere"),
        (["--lambda_teacher", "0"], "nothing to train"),
        (["--input_nc", "1"], "--input_nc 3 --output_nc 3"),
        (["--netG", "fsrcnn", "--scale", "2"], "it enlarges 1 times, --netG 2 times"),
    ],
)
def test_teachers_that_do_not_fit_are_one_line(tiny: list[str], words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(tiny, *words)
    flags = ["--dataroot", ".", "--model", "distill", *tiny]
    with pytest.raises(UserError, match="--teacher is missing"):
        build_model(TrainOptions().parse(flags), train=True)
