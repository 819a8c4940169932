"""A batch in several parts, or with activations computed twice, trains as the whole batch does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.base import Losses, TranslationModel
from training.parts import StepBatch, fit_sizes
from training.settings import OptimizerOptions, StepOptions
from training.undo import Undo
from training.update import Updater
from util.device import Compute
from util.errors import UserError

CPU = torch.device("cpu")
Make = Callable[..., TranslationModel]
METHODS = {
    "pix2pix": ["--model", "pix2pix", "--norm", "instance", "--no_dropout", "false"],
    "wgangp": ["--model", "pix2pix", "--norm", "instance", "--gan_mode", "wgangp"],
    "cycle_gan": ["--model", "cycle_gan"],
    "relativistic": ["--model", "pix2pix", "--norm", "instance", "--gan_mode", "relativistic"],
    "fastcut": ["--model", "fastcut", "--norm", "none", "--num_patches", "16", "--netF_nc", "8", "--lambda_R1", "1"],
    "semi": ["--model", "semi", "--norm", "instance", "--lambda_cycle", "1"],
}


def batches(count: int, size: int) -> Iterator[dict[str, Any]]:
    random = torch.Generator().manual_seed(0)
    for number in range(count):
        images = {side: torch.rand(size, 3, 32, 32, dtype=torch.float64, generator=random) * 2 - 1 for side in "AB"}
        yield images | {"A_paths": ["a.png"] * size, "key": [100 * number + i for i in range(size)]}


def trained(model: TranslationModel, steps: StepOptions, size: int = 4, count: int = 3) -> tuple[Updater, list[Losses]]:
    options = OptimizerOptions(pool_size=3, lr=0.001)
    updater = Updater(model, options, steps, 5, Compute(CPU))
    return updater, [updater.step(batch, number) for number, batch in enumerate(batches(count, size))]


def assert_same(ours: TranslationModel, theirs: TranslationModel, tolerance: float = 1e-8) -> None:
    """Compare weights; Adam magnifies the rounding of biases before a norm, whose true gradient is zero."""
    expected = theirs.state_dict()
    for key, value in ours.state_dict().items():
        difference = (value.double() - expected[key].double()).abs().max().item()
        assert difference <= tolerance, f"{key} differs by {difference}"


@pytest.mark.parametrize("parts", [2, 3, 4])
@pytest.mark.parametrize("method", METHODS)
def test_parts_add_up_to_the_whole_batch(make: Make, method: str, parts: int) -> None:
    whole, split = make(*METHODS[method]), make(*METHODS[method])
    _, expected = trained(whole, StepOptions())
    _, losses = trained(split, StepOptions(accumulate=parts))
    for one, other in zip(losses, expected, strict=True):
        assert {k: v.item() for k, v in one.items()} == pytest.approx({k: v.item() for k, v in other.items()}, rel=1e-9)
    assert_same(split, whole)


def test_a_loss_that_couples_samples_is_not_split(make: Make) -> None:
    model = make("--model", "pix2pix", "--norm", "instance", "--gan_mode", "relativistic_average")
    with pytest.raises(UserError, match="--accumulate 2: this --gan_mode compares with the mean over the whole batch"):
        trained(model, StepOptions(accumulate=2))
    Room(model.get_submodule("D"), 4)
    with pytest.raises(UserError, match="this --gan_mode needs the whole batch: use a smaller --batch_size"):
        trained(model, StepOptions())


def test_more_parts_than_images_are_no_harm(make: Make) -> None:
    whole, split = make(*METHODS["cycle_gan"]), make(*METHODS["cycle_gan"])
    trained(whole, StepOptions(), size=3)
    trained(split, StepOptions(accumulate=8), size=3)
    assert_same(split, whole)


def test_batch_norm_sees_each_image_once_in_its_statistics(make: Make) -> None:
    """The discriminator's turn comes first and the generator's forward is repeated; the running means must not know."""
    words = ["--model", "pix2pix", "--norm", "batch"]
    once, parts = make(*words), make(*words)
    trained(once, StepOptions(), count=1)
    trained(parts, StepOptions(accumulate=2), count=1)
    counted = {key: value for key, value in parts.state_dict().items() if key.endswith("num_batches_tracked")}
    generator = [value for key, value in counted.items() if key.startswith("G.")]
    assert generator and all(value == 2 for value in generator), "once for each of the two parts"
    assert all(v == 1 for k, v in once.state_dict().items() if k.startswith("G.") and k.endswith("num_batches_tracked"))


@pytest.mark.parametrize("method", [*METHODS, "batch"])
def test_recomputed_activations_change_nothing(make: Make, method: str) -> None:
    words = METHODS.get(method, ["--model", "pix2pix", "--norm", "batch", "--no_dropout", "false"])
    kept, recomputed = make(*words), make(*words)
    trained(kept, StepOptions())
    trained(recomputed, StepOptions(checkpoint_activations=True))
    assert_same(recomputed, kept)


class Room:
    """Let a network run out of memory when it gets more than ``images`` images."""

    def __init__(self, network: nn.Module, images: int) -> None:
        self.images, self.failures = images, 0
        self.hook = network.register_forward_pre_hook(self)

    def __call__(self, _network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if len(inputs[0]) > self.images:
            self.failures += 1
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", ["G", "D"])
def test_out_of_memory_is_retried_in_smaller_parts(make: Make, method: str, network: str, capfd: Any) -> None:
    whole, starved = make(*METHODS[method]), make(*METHODS[method])
    trained(whole, StepOptions())
    victim = {"G": "G_A", "D": "D_A"}[network] if method == "cycle_gan" else network
    room = Room(starved.get_submodule(victim), 2)  # real and fake come together, so parts of one image are needed
    trained(starved, StepOptions())
    assert room.failures > 0
    assert_same(starved, whole)
    assert capfd.readouterr().err.count("out of memory") <= 2, "said once for each number of parts"


def test_out_of_memory_with_one_image_is_one_clear_line(make: Make) -> None:
    model = make(*METHODS["pix2pix"])
    Room(model.get_submodule("D"), 0)
    with pytest.raises(UserError, match="one image at a time: use a smaller --crop_size"):
        trained(model, StepOptions())


def test_another_error_is_not_taken_for_lack_of_memory(make: Make) -> None:
    def broken(_network: nn.Module, _inputs: Any) -> None:
        raise RuntimeError("shapes do not fit")

    model = make(*METHODS["pix2pix"])
    model.get_submodule("G").register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        trained(model, StepOptions())


def test_parts_follow_the_loaders_counts() -> None:
    batch = {"A": torch.zeros(3, 1, 2, 2), "key": [7, 8, 9], "names": ["x", "y", "z"], "total": 6, "counts": [2, 0, 1]}
    parts = StepBatch(batch, 0, 1, Undo([]), keep_empty=True).parts()
    assert [part.batch["names"] for part in parts] == [["x", "y"], [], ["z"]]
    assert [part.weight for part in parts] == [2 / 6, 0, 1 / 6]
    assert len({seed for part in parts for seed in part.seeds}) == 3


def test_images_are_cut_to_what_the_networks_take() -> None:
    batch = {"A": torch.zeros(1, 3, 19, 33), "A_mask": torch.zeros(1, 1, 19, 33), "A_paths": ["a"], "key": [1]}
    fitted = fit_sizes(batch, 8)
    assert fitted["A"].shape == (1, 3, 16, 32) and fitted["A_mask"].shape == (1, 1, 16, 32)
    large = fit_sizes(batch | {"B": torch.zeros(1, 3, 57, 99)}, 8, scale=3)
    assert large["A"].shape == (1, 3, 16, 32) and large["B"].shape == (1, 3, 48, 96)
    without_target = fit_sizes(batch | {"U": torch.zeros(1, 3, 20, 25), "U_paths": ["u"]}, 8, scale=3)
    assert without_target["U"].shape == (1, 3, 16, 24), "cut as sources are"
    with pytest.raises(UserError, match="a: 33x19 pixels in training, but the networks need at least 64"):
        fit_sizes(batch, 64)
