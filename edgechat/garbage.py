"""How often Python looks for garbage in a process of ours."""

from __future__ import annotations

import gc

_THRESHOLD = 20_000
"""Starting makes tens of thousands of objects and no garbage to speak of; looking for it takes an eighth of it."""
_USUAL = gc.get_threshold()


def look_seldom() -> None:
    """Collect after so many new objects, for the life of the process or until ``look_as_usual``."""
    gc.set_threshold(_THRESHOLD)


def look_as_usual() -> None:
    """Collect as Python does by itself: what widgets leave behind when they go is all cycles, and large."""
    gc.set_threshold(*_USUAL)
