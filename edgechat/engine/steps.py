"""How far this machine has stepped down since it booted: plans that died of memory are not tried again.

One small JSON file in the state directory, keyed by boot: after a reboot everything may be tried afresh.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edgechat.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "stepped-down.json"


def read(state: Path, boot_id: str, label: str) -> int:
    """How many plans of a model's ladder to skip."""
    return _load(state, boot_id).get(label, 0)


def in_force(state: Path, boot_id: str) -> dict[str, int]:
    """Every model that has stepped down since this boot, by label, and by how many plans."""
    return _load(state, boot_id)


def record(state: Path, boot_id: str, label: str) -> int:
    """Skip one more plan of this model from now on, and return how many are skipped.

    Raises:
        StateError: it cannot be written down.
    """
    steps = _load(state, boot_id)
    steps[label] = steps.get(label, 0) + 1
    temporary = state / f"{_FILE}.new"
    try:
        temporary.write_text(json.dumps({"boot_id": boot_id, "steps": steps}))
        temporary.replace(state / _FILE)
    except OSError as error:
        raise StateError(f"Cannot write {state / _FILE}: {error.strerror}.") from error
    return steps[label]


def _load(state: Path, boot_id: str) -> dict[str, int]:
    try:
        data = json.loads((state / _FILE).read_text())
        if data["boot_id"] == boot_id:
            return {str(label): max(int(count), 0) for label, count in data["steps"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}  # absent, or damaged by a power cut: the worst that follows is one more failed try
    return {}
