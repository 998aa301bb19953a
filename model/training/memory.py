"""How a process that computes for long deals with the system's memory."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 32 << 20
"""Bytes; glibc takes no higher limit."""


def keep_memory() -> None:
    """Let glibc, where that is what allocates, keep what is freed. Otherwise a step's larger tensors go back to the
    system and come anew, page by page: on a CPU an eighth of the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, -1)  # never
