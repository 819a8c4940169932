"""What every registered network must do; a new file joins these tests by registering."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import NORMS, UPSAMPLINGS
from models.networks.initialise import init_weights
from models.networks.outputs import DiscriminatorOutput
from models.networks.ranges import UnitRange, in_symmetric_range
from models.networks.srresnet import SRResNet
from models.networks.unet import UnetGenerator
from tests.models.networks.small import BUILT, has, small
from util.errors import UserError

LAYOUTS = (torch.contiguous_format, torch.channels_last)
STEPS = (1e-6, 1e-7)  # a kink of a ReLU can lie within the larger one
NAMES = [*(("G", name) for name in BUILT), *(("D", name) for name in DISCRIMINATORS.names())]
each_network = pytest.mark.parametrize(("player", "name"), NAMES)
each_generator = pytest.mark.parametrize("name", BUILT)
each_discriminator = pytest.mark.parametrize("name", DISCRIMINATORS.names())


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(player: str, name: str, width: int = 4, seed: int = 0, gain: float = 0.2, **values: object) -> nn.Module:
    made = small(player, name, ngf=width, ndf=width, **values)
    return init_weights(made, init_gain=gain, generator=torch.Generator().manual_seed(seed))


def images(network: nn.Module, batch: int = 1, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Return a small non-square input; an odd one where the network takes any size."""
    step = getattr(network, "size_multiple", 1)
    height, width = (step, 2 * step) if step > 16 else (((step + 8) // step) * step, 16 + step)
    if not hasattr(network, "size_multiple"):
        height, width = (65, 70) if hasattr(network, "side") else (33, 50)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, dtype=dtype, generator=generator) * 2 - 1


def tensor(output: Tensor | list[DiscriminatorOutput]) -> Tensor:
    return output if isinstance(output, Tensor) else torch.cat([scale.logits.flatten(1) for scale in output], 1)


@each_generator
def test_generator_maps_non_square_images_into_its_range(name: str) -> None:
    network = build("G", name)
    x = images(network, batch=2)
    y = network(x)
    assert y.shape == (2, 2, network.scale * x.shape[2], network.scale * x.shape[3])
    assert y.isfinite().all() and y.std() > 0
    if isinstance(network, SRResNet) or not isinstance(network, UnitRange):  # the others end in a convolution
        assert y.abs().max() <= 1


@each_discriminator
def test_discriminator_returns_logits_and_features_of_odd_sizes(name: str) -> None:
    network = build("D", name)
    x = images(network, batch=2)
    outputs = network(x)
    for output in outputs:
        assert output.logits.shape[:2] == (2, 1) or name == "sn_patchgan"  # many logits a patch
        assert len(output.features) >= 2
        assert all(feature.shape[0] == 2 and feature.isfinite().all() for feature in output.features)
    if hasattr(network, "side") or name == "sn_patchgan":
        return  # linear layers make the logit, or ones with a norm and a ReLU
    deepest = [m for m in network.modules() if isinstance(m, nn.Conv2d)][-1]
    torch.testing.assert_close(deepest(output.features[-1]), output.logits)


def with_norms() -> list[tuple[str, str, str]]:
    """Return every network with every norm it can have."""
    return [(*key, norm) for key in NAMES for norm in (NORMS if has(*key, "norm") else ("none",))]


@pytest.mark.parametrize(("player", "name", "norm"), with_norms())
def test_weights_saved_and_loaded_give_the_same_output(player: str, name: str, norm: str, tmp_path) -> None:
    first, second = (build(player, name, 2, seed, norm=norm).eval() for seed in (0, 1))
    x = images(first)
    torch.save(first.state_dict(), tmp_path / "weights.pth")
    with torch.no_grad():
        wanted = tensor(first(x))
        assert not torch.equal(tensor(second(x)), wanted)
        second.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
        assert torch.equal(tensor(second(x)), wanted)


@each_network
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", (1, 2, 3))
def test_gradient_equals_finite_differences_in_both_layouts(
    player: str, name: str, layout: torch.memory_format, batch: int
) -> None:
    network = build(player, name, 2).double().to(memory_format=layout)
    if any(key.endswith("weight_u") for key in network.state_dict()):
        network.eval()  # the power iteration would move the weights between two evaluations
    for parameter in network.parameters() if isinstance(network, UnitRange) else ():
        if parameter.ndim == 1 and not parameter.any():  # with no bias a narrow layer can rest on the kink of a ReLU
            nn.init.normal_(parameter, 0.0, 0.1, generator=torch.Generator().manual_seed(4))
    x = images(network, batch, torch.float64).contiguous(memory_format=layout)
    weight = torch.rand(tensor(network(x)).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    check_along_a_direction(network, lambda: (tensor(network(x)) * weight).mean())


def check_along_a_direction(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    generator = torch.Generator().manual_seed(3)
    parameters = list(network.parameters())
    directions = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
    gradients = torch.autograd.grad(loss(), parameters)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True)).item()
    assert slope != 0
    wanted = [pytest.approx(difference(parameters, directions, loss, step), rel=2e-4, abs=1e-8) for step in STEPS]
    assert slope in wanted


def difference(
    parameters: list[nn.Parameter], directions: list[Tensor], loss: Callable[[], Tensor], step: float
) -> float:
    """Return the slope by the losses a step before and behind the parameters, which stay as they are."""
    sides = []
    with torch.no_grad():
        for move in (step, -2 * step, step):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=move)
            sides.append(loss().item())
    return (sides[0] - sides[1]) / (2 * step)


@each_generator
def test_generator_halves_its_error_on_one_batch_in_40_steps(name: str) -> None:
    network = in_symmetric_range(build("G", name, 8, gain=0.02))
    if hasattr(network, "initialise") and name != "srcnn":  # whose published weights are too small for 40 steps
        network.initialise(torch.Generator().manual_seed(0))
    side = max(64, network.size_multiple)
    waves = torch.linspace(0, 9, side).sin()
    rows, columns = waves[:, None].expand(side, side), waves[None, :].expand(side, side)
    x = torch.stack([rows, columns, rows * columns])[None]
    target = torch.stack([0.8 * columns, rows.abs() - 0.5])[None]
    if name == "gin":
        x = torch.cat([target, x[:, 2:]], 1)  # it returns what it sees outside of the holes
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    errors = []
    for _ in range(40):
        error = (network(x) - target).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert min(errors[-5:]) < errors[0] / 2


@each_discriminator
def test_discriminator_learns_to_tell_two_images_apart(name: str) -> None:
    network = build("D", name, 8, gain=0.1, norm="none")  # a norm would hide the difference of contrast
    real, fake = 0.2 * images(network, seed=0), images(network, seed=1).sign()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3 if hasattr(network, "side") else 1e-2)
    for _ in range(60):
        loss = (tensor(network(real)) - 1).square().mean() + tensor(network(fake)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # undecided is 0.5


def test_unet_drops_out_in_the_blocks_around_the_innermost_and_resnet_in_every_block() -> None:
    counts = {
        name: sum(isinstance(m, nn.Dropout) for m in build("G", name, no_dropout=False).modules())
        for name in ("unet_256", "unet_128", "resnet_9blocks", "resnet_6blocks")
    }
    assert counts == {"unet_256": 3, "unet_128": 2, "resnet_9blocks": 9, "resnet_6blocks": 6}


@pytest.mark.parametrize("scale", (1, 2, 3, 4, 8))
@pytest.mark.parametrize("name", [name for name in BUILT if has("G", name, "scale")])
def test_enlarging_networks_enlarge_by_their_scale_or_say_which_they_can(name: str, scale: int) -> None:
    try:
        network = build("G", name, scale=scale)
    except UserError as error:
        assert f"--scale {scale} is not supported by {name}: use 1, 2" in str(error)
        assert (name, scale) in {("rrdb", 3), ("rrdb", 8), ("msrresnet", 8)}
        return
    assert network.scale == scale
    assert network(torch.zeros(1, 3, 8, 12)).shape == (1, 2, 8 * scale, 12 * scale)


def test_patchgan_of_three_layers_sees_70_pixels() -> None:
    network = build("D", "basic", norm="none")
    x = torch.zeros(1, 3, 128, 128, requires_grad=True)
    logits = network(x)[0].logits
    assert logits.shape == (1, 1, 14, 14)
    (gradient,) = torch.autograd.grad(logits[0, 0, 7, 7], x)
    seen = gradient.abs().sum((0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


def test_each_scale_of_the_multiscale_discriminator_sees_the_image_at_half_the_size() -> None:
    network = build("D", "multiscale", num_D=3, n_layers_D=3)
    x = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    outputs = network(x)
    assert [tuple(output.logits.shape[2:]) for output in outputs] == [(10, 14), (4, 6), (1, 2)]
    torch.testing.assert_close(outputs[1].logits, network.scales[1](network.shrink(x))[0].logits)
    with pytest.raises(UserError, match="95x96 .*96;.*--num_D"):
        network(x[..., :95])


@pytest.mark.parametrize(("downs", "count"), [(8, 54_413_955), (7, 41_828_995)])
def test_unets_of_any_depth_are_the_established_ones_where_these_exist(downs: int, count: int) -> None:
    named = {8: "unet_256", 7: "unet_128"}[downs]
    ours, theirs = build("G", "unet", num_downs=downs, no_dropout=False), build("G", named, no_dropout=False)
    assert str(ours) == str(theirs)
    ours.load_state_dict(theirs.state_dict())
    with torch.device("meta"):
        made = UnetGenerator(3, 3, downs)
    assert sum(p.numel() for p in made.parameters()) == count


@pytest.mark.parametrize("downs", (2, 4, 9))
def test_unets_halve_as_often_as_asked(downs: int) -> None:
    network = build("G", "unet", 1, num_downs=downs, norm="none")
    assert network.size_multiple == 2**downs
    assert network(torch.zeros(1, 3, 2**downs, 2 ** (downs + 1))).shape == (1, 2, 2**downs, 2 ** (downs + 1))


@pytest.mark.parametrize("kind", UPSAMPLINGS)
@pytest.mark.parametrize("name", ("unet", "resnet_6blocks"))
def test_only_transposed_convolutions_begin_with_a_checkerboard(name: str, kind: str) -> None:
    """Weights that are equal within each layer's output channel make a flat image of a flat one, or a checkerboard."""
    network = build("G", name, norm="none", upsample=kind, n_blocks=1, gain=0.3).double().eval()
    x = torch.full((1, 3, 96, 96), 0.3, dtype=torch.float64)
    with torch.no_grad():
        middle = network(x)[..., 40:56, 40:56]
    rough = (middle - middle.mean((2, 3), keepdim=True)).abs().max() / middle.abs().max()
    assert (rough > 1e-3) == (kind == "transpose")


@pytest.mark.parametrize("kind", ("resize", "pixelshuffle"))
@pytest.mark.parametrize("name", ("unet", "resnet_6blocks"))
def test_other_ways_up_have_right_gradients(name: str, kind: str) -> None:
    network = build("G", name, 2, upsample=kind).double()
    x = images(network, 2, torch.float64)
    weight = torch.rand(network(x).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    check_along_a_direction(network, lambda: (network(x) * weight).mean())
