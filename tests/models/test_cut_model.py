"""CUT and FastCUT: patches are compared at equal places of mirrored images too, and the contrast is learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from commands.build import build_model
from models.cut_model import CUT
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError
from util.noise import sample_noise

SMALL = ["--num_patches", "16", "--netF_nc", "8"]


def make(tiny: list[str], name: str, *words: str) -> Any:
    options = TrainOptions().parse(["--dataroot", ".", "--model", name, *tiny, "--init_gain", "0.1", *SMALL, *words])
    return build_model(options, train=True).train()


def batch(count: int = 2) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    images = {side: torch.rand(count, 3, 32, 32, generator=random) * 2 - 1 for side in "AB"}
    return images | {"A_paths": ["a"] * count, "B_paths": ["b"] * count}


def updater(model: CUT, precision: str = "fp32") -> Updater:
    compute = Compute(torch.device("cpu"), precision)
    return Updater(model, OptimizerOptions(lr=2e-3), StepOptions(), 0, compute)


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_the_contrast_of_one_batch_is_learned(tiny: list[str], name: str) -> None:
    step = updater(make(tiny, name))
    history = [step.step(batch(), number) for number in range(30)]
    for term in ("NCE", "NCE_Y") if name == "cut" else ("NCE",):
        assert sum(losses[term] for losses in history[-5:]) < 0.7 * sum(losses[term] for losses in history[:5])


def test_presets_are_the_papers() -> None:
    words = ["--dataroot", ".", "--model"]
    cut, fast = (TrainOptions().parse([*words, name]).values for name in ("cut", "fastcut"))
    facts = ("n_epochs", "n_epochs_decay", "lambda_NCE", "nce_idt", "flip_equivariance", "lr", "beta1", "gan_mode")
    assert [cut[name] for name in facts] == [200, 200, 1.0, True, False, 2e-4, 0.5, "lsgan"]
    assert [fast[name] for name in facts] == [150, 50, 10.0, False, True, 2e-4, 0.5, "lsgan"]
    assert (cut["nce_T"], cut["num_patches"], cut["nce_layers"]) == (0.07, 256, (0, 4, 8, 12, 16))


@pytest.mark.parametrize("name", ["cut", "fastcut"])
def test_an_output_that_equals_its_input_costs_least(tiny: list[str], name: str) -> None:
    model, data = make(tiny, name).eval(), batch()
    phase = next(phase for phase in model.phases() if phase.name == "G")
    costs = []
    for output in (data["A"], data["B"]):
        with sample_noise([3, 5]):
            mirrors = model._mirrors(data["A"])
            turned = output if mirrors is None else torch.where(mirrors, output.flip(-1), output)
            costs.append(phase.loss(data, {"fake_B": turned, "idt_B": data["B"]})["NCE"].item())
    assert costs[0] < costs[1]


def test_half_of_the_samples_are_mirrored_and_compared_mirrored_back(tiny: list[str]) -> None:
    model, data = make(tiny, "fastcut").double().eval(), batch(8)
    data = {key: value.double() if torch.is_tensor(value) else value for key, value in data.items()}
    with sample_noise(range(8)):
        made, mirrors = model(data)["fake_B"], model._mirrors(data["A"])
    straight = model.predict(data)["fake_B"]
    assert 0 < mirrors.sum() < 8
    for output, plain, source, mirrored in zip(made, straight, data["A"], mirrors.flatten(), strict=True):
        expected = model.G(source.flip(-1)[None])[0] if mirrored else plain
        torch.testing.assert_close(output, expected)


def test_the_sampler_is_saved_and_learns_with_the_generator(tiny: list[str]) -> None:
    model = make(tiny, "cut")
    assert list(model.networks()) == ["G", "D", "F"]
    before = [p.clone() for p in model.F.parameters()]
    updater(model, "bf16").step(batch(), 0)
    weights = [p for p in model.F.parameters() if p.ndim == 2]
    assert len(weights) == 10 and all(p.dtype == torch.float32 for p in weights)
    assert all(not torch.equal(p, old) for p, old in zip(model.F.parameters(), before, strict=True))
    options = TrainOptions().parse(["--dataroot", ".", "--model", "cut", *tiny, *SMALL])
    assert list(build_model(options, train=False).networks()) == ["G"]


def test_patches_are_the_samples_own(tiny: list[str]) -> None:
    model, feature = make(tiny, "cut"), torch.zeros(2, 4, 9, 9)
    with sample_noise([7, 8]):
        (both,), (again,) = (model.F.places([feature], "x") for _ in range(2))
        (other,) = model.F.places([feature], "y")
    with sample_noise([8]):
        (alone,) = model.F.places([feature[1:]], "x")
    assert torch.equal(both, again) and torch.equal(both[1:], alone) and not torch.equal(both, other)
    assert both.shape == (2, 16) and all(len(set(row)) == 16 for row in both.tolist())
    assert model.F.places([torch.zeros(1, 4, 2, 3)], "x")[0].shape == (1, 6), "no more than there are"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--netG", "unet_128"], "resnet_9blocks or resnet_6blocks"),
        (["--work_scale", "2"], "without --work_scale"),
        (["--nce_layers", "0,99"], "--nce_layers 99: the generator's layers are 0 to"),
        (["--nce_layers", "0,four"], "--nce_layers four is not a whole number"),
        (["--input_nc", "1"], "--input_nc 1 and --output_nc 3"),
        (["--lambda_NCE", "0"], "--lambda_NCE 0: nothing ties an output to its input"),
        (["--lambda_GAN", "0"], "--lambda_GAN 0: nothing makes outputs look like B"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(tiny: list[str], words: list[str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        make(tiny, "cut", *words)
