"""Mode collapse and inverted brightness are seen, told of once, and not seen where all is well."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from training.indicators import PROBES, Indicators, brightness_correlation, measure, variety
from util.errors import BadFile

Translate = Callable[[Tensor], Tensor]


class Images:
    """Twenty smooth random images, each beside its negative or itself."""

    def __init__(self, target: Translate) -> None:
        self.target = target

    def __len__(self) -> int:
        return 20

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        noise = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(index))
        image = torch.nn.functional.interpolate(noise, (40, 32), mode="bilinear")[0] * 2 - 1
        return {"A": image, "B": self.target(image)}


class Translator:
    """Stands for a Previewer whose network is a plain function."""

    def __init__(self, translate: Translate) -> None:
        self.translate = translate

    def predictor(self) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
        return lambda batch: {"real_A": batch["A"], "fake_B": self.translate(batch["A"]), "real_B": batch["B"]}


def same(image: Tensor) -> Tensor:
    return image


def indicators(translate: Translate, target: Translate, *, paired: bool = True) -> Indicators:
    return Indicators(Images(target), Translator(translate), seed=0, paired=paired)  # type: ignore[arg-type]


def warnings(watched: Indicators, looks: int = 6) -> list[str]:
    return [line for _ in range(looks) for line in watched.look()[1]]


@pytest.mark.parametrize("paired", [True, False])
def test_a_good_generator_is_not_accused(paired: bool) -> None:
    watched = indicators(lambda x: 0.8 * x + 0.1, same, paired=paired)
    values, _ = watched.look()
    assert values == pytest.approx({"diversity_B": 0.8, "correlation_B": 1.0}, abs=1e-3)
    assert warnings(watched) == []


def test_one_output_for_every_input_is_mode_collapse() -> None:
    favourite = Images(same).load(3, torch.Generator())["A"][None]
    watched = indicators(lambda x: favourite + 0.01 * x, same, paired=False)
    lines = warnings(watched)
    assert len(lines) == 1, "said once, not at every look"
    assert "mode collapse" in lines[0] and "domain B" in lines[0] and "--lr" in lines[0]
    assert "\n" not in lines[0]


def test_alike_outputs_are_right_where_the_targets_are_alike() -> None:
    watched = indicators(torch.zeros_like, torch.zeros_like)
    assert watched.look()[0] == {}
    assert warnings(watched) == []


def test_inverted_colours_name_the_remedy_of_the_method() -> None:
    (unpaired,) = warnings(indicators(lambda x: -x, same, paired=False))
    assert "colors inverted" in unpaired and "--lambda_identity" in unpaired
    (paired,) = warnings(indicators(same, lambda x: -x))
    assert "inverted" in paired and "--direction" in paired


def test_pairs_are_compared_with_their_targets() -> None:
    """Where A and B are opposite by nature, an output like its target is right though unlike its input."""
    watched = indicators(lambda x: -x, lambda x: -x)
    assert watched.look()[0]["correlation_B"] == pytest.approx(1)
    assert warnings(watched) == []


def test_a_warning_needs_three_looks_in_a_row_also_across_a_resume() -> None:
    first, second = (indicators(lambda x: -x, same, paired=False) for _ in range(2))
    assert warnings(first, 2) == []
    second.load_state_dict(first.state_dict())
    assert len(warnings(second, 1)) == 1
    healthy = indicators(same, same)
    healthy.load_state_dict(first.state_dict())
    healthy.look()
    assert healthy.state_dict()["correlation_B"] == 0


def test_both_directions_of_a_cycle_are_watched() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.rand(PROBES, 3, 16, 16, generator=random) for _ in range(2))
    found = measure({"real_A": a, "real_B": b, "fake_B": a, "fake_A": -b}, paired=False)
    assert found["correlation_B"] == pytest.approx(1)
    assert found["correlation_A"] == pytest.approx(-1)
    assert {"diversity_A", "diversity_B"} <= set(found)


def test_what_the_method_tells_of_itself_is_shown_and_not_judged() -> None:
    watched = Indicators(Images(same), Translator(same), 0, paired=True, diagnostics=lambda: {"augment_p": -1.0})  # type: ignore[arg-type]
    assert watched.look()[0]["augment_p"] == -1
    assert warnings(watched) == [] and "augment_p" not in watched.state_dict()


def test_looking_leaves_the_random_numbers_alone() -> None:
    watched = indicators(same, same)
    before = torch.get_rng_state()
    watched.look()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_numbers() -> None:
    images = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).reshape(2, 1, 1, 2)
    assert variety(images) == pytest.approx(1)
    assert variety(images[:1]) == 0
    assert brightness_correlation(images, images.expand(2, 3, 1, 2)) == pytest.approx(1)
    assert math.isnan(brightness_correlation(images, torch.zeros_like(images)))


def test_files_that_cannot_be_read_are_no_probes() -> None:
    class Some(Images):
        def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
            if index < 10:
                raise BadFile(f"{index}.png: not a readable image")
            return super().load(index, generator)

    watched = Indicators(Some(same), Translator(same), seed=0, paired=True)  # type: ignore[arg-type]
    assert watched.look()[0] == pytest.approx({"diversity_B": 1.0, "correlation_B": 1.0}, abs=1e-3)
