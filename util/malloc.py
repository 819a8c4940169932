"""The C library's store of freed memory."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # as glibc's malloc.h numbers them


@functools.cache
def keep_freed_memory() -> None:
    """Let the C library, where it is glibc, keep freed memory for this process; children do as usual.

    It would give large tensors back to the system, which then has to zero every page of the next ones.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return

    def choose(mapped: int, most_kept: int) -> None:
        mallopt(_MMAP_MAX, mapped)
        mallopt(_TRIM_THRESHOLD, most_kept)

    choose(0, 2**31 - 1)
    os.register_at_fork(after_in_child=lambda: choose(2**16, 2**26))
