"""What every registered method must do; a new file joins these tests by registering."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from commands.build import build_model
from models import MODELS
from models.base import TranslationModel, split_calls
from models.builder import Builder, Channels
from models.classify_model import VOTES
from models.networks.lab import rgb_to_lab
from options.train_options import TrainOptions
from tests.training.runs import DIFFUSION, teacher
from training.memory import Saved, recompute_activations
from training.phases import generators
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError
from util.noise import sample_noise

#: differ from inpaint in numbers alone; tests/models/test_inpaint_model.py takes a step with each
VARIANTS = ("lama", "deepfillv2", "aot_gan", "gin")
TRAINABLE = [name for name in MODELS.names() if name not in ("test", *VARIANTS)]
each_model = pytest.mark.parametrize("name", TRAINABLE)
STEPS = 60
#: the mean absolute error after STEPS steps on one batch, relative to the error before
THRESHOLD = 0.4
#: unpaired methods learn to return through two networks, which takes longer
CYCLE_THRESHOLD = 0.65


#: distances alone, because perceptual ones need a file, and discriminators that take images of 32 pixels
_NO_FILES = ["--lambda_VGG", "0", "--lambda_L1", "10", "--netD", "basic"]
WORDS = {name: _NO_FILES for name in ("sr", "srgan", "esrgan", "real_esrgan", "inpaint")}
WORDS |= {"levels": ["--level_encoder", "test_convnext"]}
WORDS |= {"classify": ["--class_encoder", "test_convnext", "--classes", "low_1,high_2", "--output_nc", "1"]}
WORDS |= {"distill": ["--lambda_L1", "100", "--lambda_teacher", "0.01"]}
WORDS |= {"palette": ["--netG", "diffusion", *DIFFUSION, "--prediction", "image"]}
#: students have the channels of their teacher
STUDENTS = ("distill",)
FILLERS = ("inpaint",)
#: keep the lightness of their inputs
COLOURS = ("colorization",)
#: have targets of one value
CLASSIFIERS = ("classify",)
#: have neither targets nor a way back; tests/models/test_cut_model.py says what they learn
ONE_WAY = ("cut", "fastcut")


def make(name: str, tiny: list[str], *words: str) -> TranslationModel:
    words = (*WORDS.get(name, ()), *(["--teacher", teacher()] if name in STUDENTS else []), *words)
    options = TrainOptions().parse(["--dataroot", ".", "--model", name, *tiny, "--init_gain", "0.1", *words])
    return build_model(options, train=True).train()


def batch(name: str = "", size: int = 1, pixels: int = 32) -> dict[str, Any]:
    """Return smooth images and their negatives, which any translation can learn; or an image and the same with a hole.

    Args:
        name: of the method.
    """
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(size, 3, 4, 4, generator=random) * 1.6 - 0.8
    source = nn.functional.interpolate(coarse, size=(pixels, pixels), mode="bilinear")
    paths: dict[str, Any] = {"A_paths": ["a"] * size, "B_paths": ["b"] * size}
    if name in COLOURS:
        return paths | {"A": source, "B": source}
    if name in CLASSIFIERS:
        return paths | {"A": source, "B": torch.full_like(source[:, :1], -1.0)}
    if name not in FILLERS:
        return paths | {"A": source, "B": -source.flip(1)}
    mask = torch.full_like(source[:, :1], -1.0)
    mask[..., 4:28, 4:28] = 1.0
    return paths | {"A": torch.cat([source.masked_fill(mask > 0, -1), mask], 1), "B": source}


def error(model: TranslationModel, data: dict[str, Any]) -> float:
    """Return the distance to the targets, or without pairs of what went there and back to where it began.

    Of classes, which are right or wrong, it is the loss.
    """
    images = model.predict(data)
    if VOTES in images:
        return model.phases()[0].loss(data, images)["class"].item()
    pairs = [(images[label], data[side]) for label, side in (("rec_A", "A"), ("rec_B", "B")) if label in images]
    pairs = pairs or [(images[model.result], data["B"])]
    return sum((image - target).abs().mean().item() for image, target in pairs)


@pytest.mark.parametrize("name", [name for name in TRAINABLE if name not in ONE_WAY])
def test_one_batch_can_be_learned_by_heart(name: str, tiny: list[str]) -> None:
    model, data = make(name, tiny), batch(name)
    step = Updater(model, OptimizerOptions(lr=0.002), StepOptions(), 0, Compute(torch.device("cpu")))
    before = error(model, data)
    for number in range(STEPS):
        losses = step.step(data, number)
    assert all(torch.isfinite(value) for value in losses.values())
    threshold = CYCLE_THRESHOLD if "rec_A" in model.visuals else THRESHOLD
    assert error(model, data) < threshold * before


@each_model
def test_phases_partition_the_trainable_networks(name: str, tiny: list[str]) -> None:
    model = make(name, tiny)
    phases = model.phases()
    names = [network for phase in phases for network in phase.networks]
    assert sorted(names) == sorted(model.networks())
    parameters = [id(p) for phase in phases for n in phase.networks for p in model.networks()[n].parameters()]
    assert len(parameters) == len(set(parameters)) == sum(1 for _ in model.parameters())
    assert len({phase.name for phase in phases}) == len(phases)


@each_model
def test_losses_are_named_scalars_and_images_fit_the_inputs(name: str, tiny: list[str]) -> None:
    model, data = make(name, tiny), batch(name, size=2)
    images = model(data)
    assert all(image.shape[-2:] == data["B"].shape[-2:] for image in images.values())
    losses = {k: v for phase in model.phases() for k, v in phase.loss(data, images).items()}
    assert all(value.ndim == 0 and value.requires_grad for value in losses.values())


@each_model
def test_predictions_have_no_gradient_and_come_in_the_order_of_the_page(name: str, tiny: list[str]) -> None:
    model, data = make(name, tiny), batch(name)
    images = model.predict(data)
    assert list(images) == [label for label in model.visuals if label in images]
    assert not any(image.requires_grad for image in images.values())
    shown = rgb_to_lab(data["A"])[0] if name in COLOURS else data["A"][:, :3]
    assert torch.equal(images["real_A"], shown)


@pytest.mark.parametrize(
    ("name", "words"),
    [(name, []) for name in TRAINABLE] + [("inpaint", ["--netG", "deepfillv2", "--lambda_coarse", "1"])],
)
def test_recomputing_keeps_less_and_gives_the_same_gradients(name: str, words: list[str], tiny: list[str]) -> None:
    data, kept, gradients = batch(name), [], []
    for recompute in (False, True):
        model = make(name, tiny, *words)
        if recompute:
            recompute_activations(generators(model).values())
        with sample_noise([3]), Saved(model.parameters()) as saved:
            images = model(data)
        with sample_noise([3]):
            phase = next(phase for phase in model.phases() if phase.through_images)
            torch.stack([*phase.loss(data, images).values()]).sum().backward()
        kept.append(saved.bytes)
        gradients.append([p.grad for net in generators(model).values() for p in net.parameters()])
    assert kept[1] < 0.7 * kept[0]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_established_names_of_losses_and_pictures(tiny: list[str]) -> None:
    expected = {
        "pix2pix": ("G_GAN G_L1 D_real D_fake", "real_A fake_B real_B"),
        "cycle_gan": (
            "D_A G_A cycle_A idt_A D_B G_B cycle_B idt_B",
            "real_A fake_B rec_A idt_B real_B fake_A rec_B idt_A",
        ),
        "template": ("G_L1", "real_A fake_B real_B"),
    }
    for name, (losses, labels) in expected.items():
        model = make(name, tiny)
        found = Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu"))).step(batch(), 0)
        assert set(found) == set(losses.split())
        assert list(model.predict(batch())) == labels.split()


@each_model
def test_the_seed_decides_the_weights(name: str, tiny: list[str]) -> None:
    first, again, other = (make(name, tiny, "--seed", seed).state_dict() for seed in ("1", "1", "2"))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize(
    "name", [name for name in TRAINABLE if name not in (*ONE_WAY, *COLOURS, *STUDENTS, *CLASSIFIERS)]
)
def test_channels_may_differ_between_the_domains(name: str, tiny: list[str]) -> None:
    more = ["--lambda_identity", "0"] if name == "cycle_gan" else []
    given = 5 if name in FILLERS else 1  # the image and its mask
    model = make(name, tiny, "--input_nc", str(given), "--output_nc", "4", *more)
    data = {"A": torch.zeros(1, given, 32, 32), "B": torch.zeros(1, 4, 32, 32)}
    Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu"))).step(data, 0)
    assert model.predict(data)["fake_B"].shape == (1, 4, 32, 32)


def test_masked_pixels_do_not_count(tiny: list[str]) -> None:
    model, data = make("template", tiny).eval(), batch()
    mask = torch.ones(1, 1, 32, 32)
    mask[..., :16] = 0
    spoiled = data | {"B": torch.where(mask > 0, data["B"], torch.tensor(9.0)), "B_mask": mask}
    (phase,) = model.phases()
    images = model(data)
    half = (images["fake_B"] - data["B"])[..., 16:].abs().mean()
    assert phase.loss(spoiled, images)["G_L1"].item() == pytest.approx(half.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "fake", "words"),
    [
        ("pix2pix", "fake_B", ["--lambda_FM", "1", "--lambda_SSIM", "1"]),
        ("inpaint", "made_B", ["--lambda_FM", "1", "--D_input", "output"]),
        ("cycle_gan", "fake_B", []),
        ("cut", "fake_B", ["--num_patches", "8"]),
        ("semi", "fake_U", ["--lambda_GAN", "1"]),
    ],
)
def test_no_player_learns_from_pixels_whose_target_is_unknown(
    name: str, fake: str, words: list[str], tiny: list[str]
) -> None:
    """Other than the ties between an image and its origin, where no target is asked."""
    model, data = make(name, tiny, *words, "--gan_mode", "wgangp"), batch(name)
    mask = torch.ones(1, 1, 32, 32)
    mask[..., 6:20, 8:22] = 0
    images = model(data)
    spoiled = images | {fake: torch.where(mask > 0, images[fake], 5.0)}
    blank = data | {"B": torch.where(mask > 0, data["B"], -1.0), "B_mask": mask}
    with sample_noise([4]):
        costs = [
            {key: value for phase in model.phases() for key, value in phase.loss(blank, made).items()}
            | next(phase.penalty(blank, made) for phase in model.phases() if phase.penalty)
            for made in (images, spoiled)
        ]
    costs = [{key: value for key, value in cost.items() if not key.startswith("NCE")} for cost in costs]
    assert len(costs[0]) >= 4
    torch.testing.assert_close(costs[1], costs[0])


@pytest.mark.parametrize(
    ("name", "words", "part"),
    [
        ("cycle_gan", ["--input_nc", "1"], "--lambda_identity 0"),
        ("pix2pix", ["--lambda_L1", "0", "--lambda_GAN", "0"], "nothing to train"),
        ("test", [], "only translates"),
        ("cycle_gan", ["--input_nc", "1", "--coordinates", "--lambda_identity", "0"], "images of domain A alone"),
        ("cut", ["--input_nc", "1", "--coordinates"], "images of domain A alone"),
        ("semi", ["--input_nc", "1", "--coordinates", "--lambda_cycle", "1"], "images of domain A alone"),
        *((name, ["--coordinates"], "images of domain A alone") for name in ("inpaint", "palette", "colorization")),
    ],
)
def test_impossible_methods_are_refused_in_one_line(tiny: list[str], name: str, words: list[str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        make(name, tiny, *words)


def test_a_crop_that_the_network_cannot_take_names_one_that_it_can() -> None:
    words = ["--dataroot", ".", "--model", "pix2pix", "--ngf", "1", "--ndf", "1", "--crop_size", "250"]
    with pytest.raises(UserError, match="--crop_size 250 must be divisible by 256.*--crop_size 256.*unet_128"):
        build_model(TrainOptions().parse(words), train=True)


class Doubling(nn.Module):
    """Count calls; return a tensor in a list in a tuple-like output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.calls = nn.Sequential(nn.Conv2d(1, 2, 3), *layers), 0

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.calls += 1
        return [self.layers(x), x * 2]


def untracked() -> nn.Module:
    return nn.BatchNorm2d(2, track_running_stats=False)


@pytest.mark.parametrize("layer", [nn.Identity, lambda: nn.BatchNorm2d(2), untracked, nn.Dropout, nn.Dropout2d])
@pytest.mark.parametrize("training", [True, False])
def test_split_calls_equal_single_calls(layer: Any, training: bool) -> None:
    network = Doubling(layer()).double().train(training)
    inputs = [torch.rand(count, 1, 5, 5, dtype=torch.float64) for count in (1, 3, 2)]
    torch.manual_seed(0)
    expected = [network(x) for x in inputs]
    network.calls = 0
    torch.manual_seed(0)
    found = split_calls(network, *inputs)
    one_call = layer is nn.Identity or not training and layer is not untracked
    assert network.calls == (1 if one_call else 3)
    for one, other in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_split_calls_take_different_sizes_one_by_one() -> None:
    network = Doubling()
    found = split_calls(network, torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 7, 5))
    assert [output[0].shape[-2] for output in found] == [3, 5]


def test_split_calls_keep_named_tuples_of_discriminators(tiny: list[str]) -> None:
    import a2b

    network = a2b.build_discriminator("basic", ndf=4)
    first, second = torch.rand(1, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for x, outputs in zip((first, second), split_calls(network, first, second), strict=True):
        (output,), (expected,) = outputs, network(x)
        assert torch.allclose(output.logits, expected.logits, atol=1e-5)
        assert type(output) is type(expected)


def test_a_builder_repeats_its_weights() -> None:
    from models.networks import GENERATORS

    options = GENERATORS.options("resnet_6blocks")(ngf=2)
    choices = {"netG": (GENERATORS.get("resnet_6blocks"), options)}
    first, second = (Builder(choices, Channels(3, 3), seed=4) for _ in range(2))
    one, other, later = first.generator(3, 3), second.generator(3, 3), first.generator(3, 3)
    assert torch.equal(one.model[1].weight, other.model[1].weight)
    assert not torch.equal(one.model[1].weight, later.model[1].weight)
