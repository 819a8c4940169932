"""Depths that mean the same image are converted; anything else is refused."""

from __future__ import annotations

import dataclasses

import pytest

from data.value_range import ValueRange
from data.writers import FileFormat
from inference.domain import Domain, fit_domains
from util.errors import UserError

EIGHT, DEEP = Domain.whole("uint8", 3), Domain.whole("uint16", 3)
PART = Domain(ValueRange(0, 4095), FileFormat("uint16", 3))


def test_whole_ranges_convert_both_ways() -> None:
    assert EIGHT.convert("uint16", "x") == DEEP and DEEP.convert("uint8", "x") == EIGHT
    assert PART.convert("uint16", "x") is PART
    for domain, dtype in ((PART, "uint8"), (EIGHT, "float32")):
        with pytest.raises(UserError, match=f"x: {dtype} files, but the run was trained on {domain.format.dtype}"):
            domain.convert(dtype, "x")


def test_brightness_stays_brightness_in_another_depth() -> None:
    luma = dataclasses.replace(EIGHT, luma=True)
    assert luma.convert("uint16", "x") == dataclasses.replace(DEEP, luma=True)
    entry = {"range": luma.range.to_dict(), "format": luma.format.to_dict()}
    assert Domain.from_dict({**entry, "luma": True}) == luma and Domain.from_dict(entry) == EIGHT


def test_the_target_follows_the_source_where_it_was_of_the_same_depth() -> None:
    assert fit_domains({"A": EIGHT, "B": EIGHT}, {"A": "uint16"}, "x") == {"A": DEEP, "B": DEEP}
    assert fit_domains({"A": EIGHT, "B": PART}, {"A": "uint16"}, "x") == {"A": DEEP, "B": PART}
    assert fit_domains({"A": EIGHT, "B": EIGHT}, {"A": "uint16", "B": "uint8"}, "x") == {"A": DEEP, "B": EIGHT}
    assert fit_domains({}, {"A": "uint16"}, "x") == {}


def test_a_saved_domain_comes_back() -> None:
    assert Domain.from_dict({"range": PART.range.to_dict(), "format": PART.format.to_dict()}) == PART
