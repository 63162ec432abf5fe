"""How often Python looks for garbage while a process of ours starts."""

from __future__ import annotations

import gc

_THRESHOLD = 20_000
"""Starting makes tens of thousands of objects and no garbage to speak of; looking for it takes an eighth of it."""


def look_seldom() -> None:
    """Collect after so many new objects, for the life of the process."""
    gc.set_threshold(_THRESHOLD)
