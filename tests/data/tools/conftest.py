"""prepare.py, called in this process."""

from __future__ import annotations

import sys

import pytest

import prepare


@pytest.fixture
def call(monkeypatch):
    """Return a function that runs prepare.py with arguments, in this process."""

    def run(*arguments: object) -> int | None:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
        return prepare.main()

    return run
