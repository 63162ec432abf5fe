"""How far this machine has stepped down since it booted: what died of memory is not tried again.

One small JSON file in the state directory, keyed by boot: after a reboot everything may be tried afresh. Sizes are kept
rather than a count of steps: they stay right when the ladder changes with the free memory, and each death leaves only
plans that are really smaller, so that a request that goes on after it is never the same request.
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
class SteppedDown:
    """What is not tried again before the next boot."""

    died: dict[str, int] = field(default_factory=dict)
    """By a model's label the need in bytes of its smallest plan that died of memory."""
    room: int | None = None
    """The most that any engine could take, where the machine still claims more: a limit that the probe cannot see."""

    def allows(self, label: str, need: int) -> bool:
        """Whether a plan of this need is smaller than all of its model that died."""
        died = self.died.get(label.lower())
        return died is None or need < died

    def on(self, board: Board) -> Board:
        """The board with the hidden limit in it, if one was met."""
        if self.room is None or self.room >= board.memory.available:
            return board
        limit = min(self.room, board.memory.cgroup_limit or self.room)
        return replace(board, memory=replace(board.memory, available=self.room, cgroup_limit=limit))


def read(state: Path, boot_id: str) -> SteppedDown:
    """What died since this boot. A damaged file is as good as none: the worst that follows is one more failed try."""
    try:
        data = json.loads((state / _FILE).read_text())
        if data["boot_id"] != boot_id:
            return SteppedDown()
        died = {str(label): int(need) for label, need in data["died"].items() if int(need) > 0}
        room = data.get("room")
        return SteppedDown(died, int(room) if room and int(room) > 0 else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return SteppedDown()


def record(state: Path, boot_id: str, label: str, need: int, *, room: int | None = None) -> None:
    """Try no plan of this model again that needs as much, and none at all that needs more than ``room``.

    Args:
        state: the state directory.
        boot_id: the boot that this holds for.
        label: the model's ``name:quant``.
        need: bytes that the plan which died was predicted to need.
        room: bytes that the engine had when it died, where the machine claims that the whole need was free.

    Raises:
        StateError: it cannot be written down.
    """
    known = read(state, boot_id)
    label = label.lower()
    died = {**known.died, label: min(need, known.died.get(label, need))}
    rooms = [each for each in (known.room, room) if each is not None]
    data = {"boot_id": boot_id, "died": died, "room": min(rooms, default=None)}
    with reporting("write", state / _FILE):
        write_json(state / _FILE, data, sync=False)
