"""Damage for inputs."""

from __future__ import annotations

from typing import Any

DEGRADATIONS = ("bicubic",)
Degradation = Any


def make_degradation(name: str, scale: int) -> Any:
    return None
