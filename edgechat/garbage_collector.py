"""How often Python's garbage collector runs, and returning free memory to the system."""

from __future__ import annotations

import gc

_THRESHOLD = 20_000
"""Starting creates tens of thousands of objects and little garbage; collecting takes an eighth of the time."""
_USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """Collect after 20,000 new objects, until :func:`collect_normally` is called."""
    gc.set_threshold(_THRESHOLD)


def collect_normally() -> None:
    """Restore Python's own threshold: removed widgets are reference cycles, and large."""
    gc.set_threshold(*_USUAL)


def release_memory() -> None:
    """Collect all garbage, and return free pages to the system where the C library can (glibc's malloc_trim).

    Free memory of many threads is spread over their arenas, and Python itself rarely runs a full collection.
    """
    import ctypes  # noqa: PLC0415 - short-lived processes never call this

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
