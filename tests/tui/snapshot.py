"""Screens as text: what stands in each cell, and below each line in which look, letter by letter with a legend.

``UI_SNAPSHOTS=write`` writes them anew; then look at what changed.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import string
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.style import Style
    from textual.pilot import Pilot
    from textual.strip import Strip

    from edgechat.tui.app import EdgechatApp

FOLDER = Path(__file__).with_name("snapshots")
_LETTERS = string.ascii_letters + string.digits


def dump(app: EdgechatApp) -> str:
    """The screen."""
    looks: dict[str, str] = {}
    lines = []
    for strip in app.screen._compositor.render_strips():
        cells = [(_look(segment.style), cell_len(segment.text)) for segment in strip]
        lines.append(strip.text.rstrip())
        runs = []
        for look, parts in groupby(cells, key=lambda cell: cell[0]):
            letter = looks.setdefault(look, _LETTERS[len(looks)])
            runs.append(f"{letter}{sum(width for _, width in parts)}")
        lines.append("  | " + " ".join(runs))
    legend = [f"{letter}: {look}" for look, letter in looks.items()]
    return "\n".join([*lines, "", *legend, ""])


def _look(style: Style | None) -> str:
    if style is None:
        return "plain"
    names = [
        name for name in ("bold", "dim", "italic", "underline", "reverse", "strike") if getattr(style, name, False)
    ]
    colours = [each.get_truecolor().hex if each else "default" for each in (style.color, style.bgcolor)]
    return " ".join([f"{colours[0]} on {colours[1]}", *names])


async def settled(pilot: Pilot[None], is_there: Callable[[], object]) -> str:
    """What the screen shows once ``is_there`` and nothing moves any more."""
    app: EdgechatApp = pilot.app  # type: ignore[assignment]
    end = time.monotonic() + 20
    before: list[Strip] = []
    now: list[Strip] | None = None
    while before != now or not is_there():
        assert time.monotonic() < end, dump(app)
        before = now or []
        await asyncio.sleep(0.05)
        await pilot.pause()
        now = app.screen._compositor.render_strips()
    return dump(app)


def check(name: str, shown: str) -> None:
    """Compare with what was kept."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("UI_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(shown, encoding="utf-8")
        return
    kept = file.read_text(encoding="utf-8") if file.exists() else ""
    changes = difflib.unified_diff(kept.splitlines(), shown.splitlines(), "kept", "shown", lineterm="", n=1)
    assert shown == kept, f"{name} looks different:\n" + "\n".join(changes)
