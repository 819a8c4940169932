"""Convolutions as products of matrices against those of the library."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import TranslationModel
from training import few_pixels
from training.few_pixels import convolve, convolve_transposed, multiply_where_few
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute

CL = torch.channels_last
SHAPES = [(4, 2, 1, 2, 2), (4, 2, 1, 3, 7), (3, 1, 1, 3, 4), (2, 2, 0, 5, 4)]  # kernel, stride, padding, height, width


@pytest.mark.parametrize("layout", [torch.contiguous_format, CL], ids=["planes", "channels_last"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_the_convolution_and_its_derivatives(
    shape: tuple[int, ...], transposed: bool, layout: torch.memory_format
) -> None:
    kernel, stride, padding, height, width = shape
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, width, dtype=torch.float64).contiguous(memory_format=layout)
    sides = (3, 2) if transposed else (2, 3)
    weight = torch.randn(*sides, kernel, kernel, dtype=torch.float64).contiguous(memory_format=CL)
    ours, theirs = (convolve_transposed, F.conv_transpose2d) if transposed else (convolve, F.conv2d)

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return ours(x, weight, (stride, stride), (padding, padding))

    inputs = (x.requires_grad_(), weight.requires_grad_())
    expected = theirs(x, weight, None, stride, padding)
    assert torch.allclose(product(*inputs), expected, atol=1e-12)
    assert torch.autograd.gradcheck(product, inputs)
    assert torch.autograd.gradgradcheck(product, inputs) if height == 2 else True
    gradient = torch.autograd.grad(product(*inputs).sum(), weight)[0]
    assert gradient.stride() == weight.stride(), "else it is copied for the optimizer"


def test_only_large_plain_convolutions_with_channels_last_weights_are_products() -> None:
    layers = {
        "right": nn.Conv2d(128, 128, 4, 2, 1),
        "up": nn.ConvTranspose2d(128, 128, 4, 2, 1),
        "small": nn.Conv2d(64, 64, 4, 2, 1),
        "holes": nn.Conv2d(128, 256, 3, dilation=2),
        "groups": nn.Conv2d(256, 256, 4, groups=2),
        "border": nn.Conv2d(128, 256, 3, padding=1, padding_mode="reflect"),
        "same": nn.Conv2d(128, 256, 3, padding="same"),
        "odd": nn.ConvTranspose2d(128, 256, 3, 2, 1, 1),
    }
    nets = nn.ModuleDict(layers).to(memory_format=CL)
    nets["planes"] = nn.Conv2d(128, 128, 4, 2, 1)
    multiply_where_few([nets])
    assert {name for name, layer in nets.items() if "forward" in vars(layer)} == {"right", "up"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let small layers be products too, and return how many pixels each product had."""
    found: list[int] = []
    for kind, product in list(few_pixels._PRODUCTS.items()):

        def count(x: Tensor, *more: object, product: Callable[..., Tensor] = product) -> Tensor:
            found.append(x.shape[2] * x.shape[3])
            return product(x, *more)

        monkeypatch.setitem(few_pixels._PRODUCTS, kind, count)
    monkeypatch.setattr(few_pixels, "_LEAST_WEIGHTS", 0)
    return found


def test_a_training_is_the_same_with_and_without_products(
    make: Callable[..., TranslationModel], calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Compute(torch.device("cpu"), channels_last=True)
    models = [make("--model", "pix2pix", "--netG", "unet_128", "--ngf", "2") for _ in range(2)]
    batch = {side: torch.rand(1, 3, 128, 128, dtype=torch.float64) for side in "AB"}
    for model, most in zip(models, (256, 0), strict=True):
        monkeypatch.setattr(few_pixels, "_MOST_PIXELS", most)
        compute.place(model)
        step = Updater(model, OptimizerOptions(), StepOptions(), 0, compute)
        [step.step(batch, number) for number in range(2)]
        assert (len(calls) > 0) == (most > 0)
        assert max(calls, default=0) <= 4 * most
        calls.clear()
    for (name, ours), theirs in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-9), name


def test_a_copy_computes_with_its_own_weights(calls: list[int]) -> None:
    layer = nn.Conv2d(2, 2, 4, 2, 1).to(memory_format=CL)
    multiply_where_few([layer])
    twin = copy.deepcopy(layer)
    nn.init.zeros_(twin.weight)
    x = torch.ones(1, 2, 4, 4)
    assert twin(x).detach().equal(twin.bias.detach().view(1, 2, 1, 1).expand(1, 2, 2, 2)) and len(calls) == 1
    with torch.no_grad():
        assert not layer(x).equal(twin(x)) and len(calls) == 1, "outside of training the library computes"
