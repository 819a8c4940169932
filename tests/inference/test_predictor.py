"""The Predictor: any size, repeatable, without dropout, with the batch norm statistics that were asked for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from commands.build import build_model
from inference.predictor import Predictor
from models.base import TranslationModel
from options.train_options import TrainOptions

CPU = torch.device("cpu")


def make(*words: str) -> TranslationModel:
    """Return a model whose batch norm statistics are those of some training images."""
    common = ["--dataroot", ".", "--ngf", "4", "--init_gain", "0.3", "--netG", "resnet_6blocks"]
    model = build_model(TrainOptions().parse([*common, *words]), train=False)
    with torch.no_grad():
        for _ in range(3):
            model(batch(128, 128, size=2))
    return model


def batch(height: int, width: int, size: int = 1, sides: str = "AB") -> dict[str, Any]:
    random = torch.Generator().manual_seed(height * width)
    return {side: torch.rand(size, 3, height, width, generator=random) * 2 - 1 for side in sides}


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (31, 64), (7, 5), (4, 4), (1, 1), (3, 200)])
@pytest.mark.parametrize("model", ["template", "cycle_gan", "pix2pix"])
def test_any_size_comes_back_in_that_size(model: str, shape: tuple[int, int]) -> None:
    images = Predictor(make("--model", model), CPU)(batch(*shape))
    assert {image.shape for image in images.values()} == {(1, 3, *shape)}
    assert all(torch.isfinite(image).all() and image.abs().max() <= 1 for image in images.values())


def test_a_small_image_comes_through_the_u_net() -> None:
    model = make("--model", "pix2pix", "--netG", "unet_128", "--ngf", "2")
    images = Predictor(model, CPU)(batch(40, 150))
    assert images["fake_B"].shape == (1, 3, 40, 150)


def test_inputs_come_back_unchanged() -> None:
    data = batch(33, 47)
    images = Predictor(make("--model", "cycle_gan"), CPU)(data)
    assert torch.equal(images["real_A"], data["A"])
    assert torch.equal(images["real_B"], data["B"])


def test_the_two_domains_may_have_different_sizes() -> None:
    data = {"A": batch(33, 47)["A"], "B": batch(20, 10)["B"]}
    images = Predictor(make("--model", "cycle_gan"), CPU)(data)
    sizes = {label: tuple(image.shape[2:]) for label, image in images.items()}
    assert {sizes[label] for label in ("real_A", "fake_B", "rec_A")} == {(33, 47)}
    assert {sizes[label] for label in ("real_B", "fake_A", "rec_B")} == {(20, 10)}


def test_a_size_that_fits_goes_through_the_network_as_it_is() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(32, 36)
    expected = copy.deepcopy(model).eval()(data)["fake_B"].detach()
    assert torch.equal(Predictor(model, CPU)(data)["fake_B"], expected)


def test_an_odd_size_is_the_network_on_the_centred_padded_image() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(30, 29, sides="A")
    padded = nn.functional.pad(data["A"], (1, 2, 1, 1), mode="replicate")
    expected = copy.deepcopy(model).eval()({"A": padded})["fake_B"].detach()[..., 1:31, 1:30]
    assert torch.equal(Predictor(model, CPU)(data)["fake_B"], expected)


@pytest.mark.parametrize("words", [["--norm", "batch"], ["--norm", "instance"], ["--netG", "unet_128", "--ngf", "2"]])
def test_the_same_image_gives_the_same_result_whatever_came_before(words: list[str]) -> None:
    predictor = Predictor(make("--model", "pix2pix", "--no_dropout", "false", *words), CPU)
    data = batch(32, 40)
    torch.manual_seed(1)
    first = predictor(data)["fake_B"]
    predictor(batch(64, 64))
    torch.manual_seed(2)
    assert torch.equal(predictor(data)["fake_B"], first)


def test_prediction_leaves_the_model_as_it_is() -> None:
    for mode in ("auto", "batch", "running"):
        model = make("--model", "template", "--norm", "batch")
        before = copy.deepcopy(model.state_dict())
        predictor = Predictor(model, CPU, test_norm=mode)
        images = predictor(batch(64, 64))
        assert not images["fake_B"].requires_grad
        running = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        assert all(torch.equal(value, before[key]) for key, value in running.items())


def fake(model: TranslationModel, mode: str, data: dict[str, Any]) -> torch.Tensor:
    return Predictor(copy.deepcopy(model), CPU, test_norm=mode)(data)["fake_B"]


def test_batch_norm_by_the_images_own_statistics_or_the_trainings() -> None:
    model, data = make("--model", "template", "--norm", "batch", "--no_dropout"), batch(32, 32)
    training, evaluating = (copy.deepcopy(model).train(on) for on in (True, False))
    with torch.no_grad():
        assert torch.equal(fake(model, "batch", data), training(data)["fake_B"])
        assert torch.equal(fake(model, "running", data), evaluating(data)["fake_B"])
    assert not torch.equal(fake(model, "batch", data), fake(model, "running", data))


@pytest.mark.parametrize(("network", "meaning"), [("resnet_6blocks", "running"), ("unet_128", "batch")])
def test_auto_takes_the_images_own_statistics_for_u_nets(network: str, meaning: str) -> None:
    model = make("--model", "template", "--netG", network, "--norm", "batch", "--no_dropout", "--ngf", "2")
    data = batch(128, 128)
    assert torch.equal(fake(model, "auto", data), fake(model, meaning, data))


def test_in_a_batch_each_image_is_judged_alone() -> None:
    model, data = make("--model", "template", "--norm", "batch"), batch(32, 32, size=3)
    together = fake(model, "batch", data)
    for index in range(3):
        alone = fake(model, "batch", {key: value[index : index + 1] for key, value in data.items()})
        assert torch.equal(together[index : index + 1], alone)


def test_bf16_stays_close_and_comes_back_as_float32() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(32, 32)
    exact = Predictor(copy.deepcopy(model), CPU)(data)["fake_B"]
    fast = Predictor(model, CPU, precision="bf16")(data)["fake_B"]
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().mean() < 0.05
