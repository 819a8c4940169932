"""Freed memory is there for the next tensor, without the system's help."""

from __future__ import annotations

import multiprocessing
import platform
import sys

import pytest
import torch

from util.malloc import keep_freed_memory

if sys.platform == "linux":
    import resource

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
PAGE = 4096


def faults(size: int, tries: int) -> int:
    """Return how many pages the system had to provide for a tensor when others of its size had been there before."""
    found = []
    for _ in range(tries):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(size, dtype=torch.uint8)
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(found)


def test_freed_memory_is_used_again_but_not_kept_by_children() -> None:
    keep_freed_memory()
    large, larger = 36 << 20, 200 << 20
    assert faults(large, tries=20) < 0.1 * large / PAGE
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(faults, (larger, 3)) > 0.5 * larger / PAGE or _has_huge_pages()


def _has_huge_pages() -> bool:
    with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
        return "[always]" in file.read()
