"""How often Python looks for garbage in a process of ours, and when memory goes back to the system."""

from __future__ import annotations

import gc

_THRESHOLD = 20_000
"""Starting makes tens of thousands of objects and no garbage to speak of; looking for it takes an eighth of it."""
_USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """Collect after so many new objects, for the life of the process or until ``collect_normally``."""
    gc.set_threshold(_THRESHOLD)


def collect_normally() -> None:
    """Collect as Python does by itself: what widgets leave behind when they go is all cycles, and large."""
    gc.set_threshold(*_USUAL)


def release_memory() -> None:
    """Collect everything, and hand free pages back to the system where the C library can (glibc's malloc_trim).

    What many threads leave behind lies scattered over their arenas, and Python by itself seldom looks at all there is.
    """
    import ctypes  # noqa: PLC0415 - what starts often and ends soon never gives back

    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
