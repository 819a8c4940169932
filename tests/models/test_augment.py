"""What the discriminator sees: alike for all images of a sample, differentiable, and as often as D overfits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.augment import Augmentation, color, cutout, translation
from models.networks.outputs import DiscriminatorOutput
from util.errors import UserError
from util.noise import sample_noise

ALL = ("color", "translation", "cutout")
SEEDS = (5, 6, 7)


def images(count: int = 3, channels: int = 3) -> torch.Tensor:
    return torch.rand(count, channels, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1, 1)


def test_colors_in_the_middle_of_their_range_change_nothing_and_others_do_what_they_say() -> None:
    x = images(1)
    torch.testing.assert_close(color(x, draws(0.5, 0.5, 0.5)), x)
    torch.testing.assert_close(color(x, draws(0.75, 0.5, 0.5)), x + 0.25)
    grey = color(x, draws(0.5, 0.0, 0.5))
    torch.testing.assert_close(grey, x.mean(1, keepdim=True).expand_as(x))
    halved = color(x, draws(0.5, 0.5, 0.0))
    torch.testing.assert_close(halved, (x + x.mean()) / 2)


@pytest.mark.parametrize(("across", "down"), [(0.0, 0.999), (0.5, 0.5), (0.999, 0.2)])
def test_translation_moves_by_up_to_an_eighth_and_brings_in_zeros(across: float, down: float) -> None:
    x = images(1)
    rows, columns = int(down * 5) - 2, int(across * 7) - 3
    expected = torch.zeros_like(x)
    inside = [slice(max(0, -move), min(size, size - move)) for move, size in ((rows, 16), (columns, 24))]
    source = [slice(max(0, move), min(size, size + move)) for move, size in ((rows, 16), (columns, 24))]
    expected[..., inside[0], inside[1]] = x[..., source[0], source[1]]
    assert torch.equal(translation(x, draws(down, across, 0)), expected)


def test_cutout_blanks_half_of_both_sides_around_its_centre() -> None:
    blank = cutout(torch.ones(1, 1, 16, 24), draws(0.5, 0.5, 0))[0, 0] == 0
    rows, columns = blank.any(1).nonzero()[:, 0], blank.any(0).nonzero()[:, 0]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 11, 7, 17)
    assert blank.sum() == 7 * 11
    assert (cutout(torch.ones(1, 1, 16, 24), draws(0, 0, 0))[0, 0] == 0).sum() == 4 * 6, "cut at the corner"


def test_all_images_of_a_sample_are_altered_alike_whatever_the_batch() -> None:
    augment, x = Augmentation(ALL, 1.0), images()
    with sample_noise(SEEDS):
        first, again = augment(x), augment(x)
    with sample_noise(SEEDS[1:2]):
        alone = augment(x[1:2])
    assert torch.equal(first, again) and not torch.equal(first, x)
    torch.testing.assert_close(alone, first[1:2])


def test_the_input_beside_the_image_moves_with_it_and_keeps_its_colors() -> None:
    x = images(channels=5)
    with sample_noise(SEEDS):
        colored, moved = Augmentation(("color",), 1.0)(x, 2, 1), Augmentation(("translation",), 1.0)(x, 2, 1)
        whole = Augmentation(("translation",), 1.0)(x)
        mask = Augmentation(ALL, 1.0)(x[:, :1], behind=1)
        assert torch.equal(mask, Augmentation(("translation", "cutout"), 1.0)(x[:, :1]))
    assert torch.equal(colored[:, :2], x[:, :2]) and torch.equal(colored[:, 4:], x[:, 4:])
    assert not torch.equal(colored[:, 2:4], x[:, 2:4])
    assert torch.equal(moved, whole)


def test_gradients_pass_and_are_right() -> None:
    augment, x = Augmentation(ALL, 1.0).double(), images(2).double()[..., :6, :6].requires_grad_(True)

    def altered(image: torch.Tensor) -> torch.Tensor:
        with sample_noise(SEEDS[:2]):
            return augment(image)

    assert torch.autograd.gradcheck(altered, (x,))
    assert torch.autograd.gradgradcheck(altered, (x,))


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_each_alteration_happens_as_often_as_it_should(probability: float) -> None:
    following, x = Augmentation(("color",), 0.0), images(1).expand(400, -1, -1, -1)
    following.p.fill_(probability)
    for augment in (following, Augmentation(("color",), probability)):
        with sample_noise(range(400)):
            changed = (augment(x) != x).flatten(1).any(1).float().mean()
        assert changed.item() == pytest.approx(probability, abs=0.07)


def test_a_probability_that_is_given_counts_and_not_that_of_a_saved_state() -> None:
    always, never = Augmentation(("color",), 1.0), Augmentation(("color",), 1e-9)
    never.load_state_dict(always.state_dict())
    assert torch.equal(never(images()), images())


def outputs(share: float) -> list[DiscriminatorOutput]:
    """Return logits around 0.5 of which so many say real."""
    logits = torch.full((2, 1, 10, 10), 0.2)
    logits.view(2, -1)[:, : round(100 * share)] = 0.9
    return [DiscriminatorOutput(logits, [])]


def test_the_probability_rises_while_d_is_sure_and_falls_when_it_is_not() -> None:
    augment = Augmentation(ALL, 0.0, target=0.6, images=20)
    history = []
    for share in (1.0,) * 4 + (0.5,) * 150:
        augment.observe(outputs(share), 0.5)
        augment.end_step(lambda _: None)
        history.append(augment.p.item())
    assert history[0] == 0, "one step does not make it sure"
    for _ in range(200):
        augment.observe(outputs(1.0), 0.5)
        augment.end_step(lambda _: None)
        history.append(augment.p.item())
    assert history[-1] == 1.0
    assert max(abs(b - a) for a, b in zip(history, history[1:], strict=False)) == pytest.approx(2 / 20)
    for _ in range(100):
        augment.observe(outputs(0.5), 0.5)
        augment.end_step(lambda _: None)
    assert 0 <= augment.p.item() < 1.0


def test_what_other_processes_saw_counts_and_without_images_nothing_moves() -> None:
    def twice(sums: Any) -> None:
        for value in sums:
            value.mul_(2)

    one, two = Augmentation(ALL, 0.0, target=0.0), Augmentation(ALL, 0.0, target=0.0)
    one.observe(outputs(0.8), 0.5)
    one.end_step(twice)
    for _ in range(2):
        two.observe(outputs(0.8), 0.5)
    two.end_step(lambda _: None)
    assert one.p == two.p > 0 and one.certainty == two.certainty
    before = two.p.clone()
    two.end_step(lambda _: None)
    assert two.p == before


def test_a_wrong_name_is_one_line() -> None:
    with pytest.raises(UserError, match=r"unknown --augment 'colour'; did you mean color\?"):
        Augmentation(("colour",), 1.0)
