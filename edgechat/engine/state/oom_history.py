"""Plans that ran out of memory since this machine booted; they are not tried again before the next boot.

One small JSON file in the state directory, valid for one boot. It holds sizes and no count of steps: sizes stay right
when the list of plans changes with the free memory, and after each failure only plans that are really smaller are left.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgechat.files import reporting, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.board.board import Board

_FILE = "stepped-down.json"


@dataclass(frozen=True, slots=True)
class OomHistory:
    """What ran out of memory since boot."""

    died: dict[str, int] = field(default_factory=dict)
    """Model label -> the need in bytes of its smallest plan that ran out of memory."""
    hidden_limit: int | None = None
    """Bytes that an engine really got where the machine reported more: a limit that the probe cannot see."""

    def allows(self, label: str, need: int) -> bool:
        """Whether a plan that needs this many bytes is smaller than every plan of its model that ran out of memory."""
        died = self.died.get(label.lower())
        return died is None or need < died

    def limited(self, board: Board) -> Board:
        """The board with the hidden limit as its memory limit, where there is one."""
        if self.hidden_limit is None or self.hidden_limit >= board.memory.available:
            return board
        limit = min(self.hidden_limit, board.memory.cgroup_limit or self.hidden_limit)
        return replace(board, memory=replace(board.memory, available=self.hidden_limit, cgroup_limit=limit))


def read(state: Path, boot_id: str) -> OomHistory:
    """What ran out of memory since this boot; empty where the file is missing or damaged."""
    try:
        data = json.loads((state / _FILE).read_text())
        if data["boot_id"] != boot_id:
            return OomHistory()
        died = {str(label): int(need) for label, need in data["died"].items() if int(need) > 0}
        limit = data.get("room")
        return OomHistory(died, int(limit) if limit and int(limit) > 0 else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return OomHistory()


def record(state: Path, boot_id: str, label: str, need: int, *, hidden_limit: int | None = None) -> None:
    """Record that a plan ran out of memory.

    Args:
        state: the state directory.
        boot_id: the boot that this is valid for.
        label: the model's ``name:quant``.
        need: bytes that the plan was predicted to need.
        hidden_limit: bytes that the engine had when it was killed, where the machine reported that all were free.

    Raises:
        StateError: the file cannot be written.
    """
    known = read(state, boot_id)
    label = label.lower()
    died = {**known.died, label: min(need, known.died.get(label, need))}
    limits = [each for each in (known.hidden_limit, hidden_limit) if each is not None]
    data = {"boot_id": boot_id, "died": died, "room": min(limits, default=None)}
    with reporting("write", state / _FILE):
        write_json(state / _FILE, data, sync=False)
