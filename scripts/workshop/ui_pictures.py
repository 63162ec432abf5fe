#!/usr/bin/env python3
"""Draws the terminal UI's screens as docs/tui-*.svg, made by the app itself: the real starter model on this machine.

scripts/workshop/ui_pictures.py [NAME ...]      chat, models, tasks, board, first-run; all of them without a name
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from edgechat.tui.app import EdgechatApp

ROOT = Path(__file__).resolve().parents[2]
SIZE = (100, 30)
QUESTION = "Name three uses of a Raspberry Pi."
NAMES = ("chat", "models", "tasks", "board", "first-run")


async def until(pilot: Pilot[None], is_there: Callable[[], object]) -> None:
    """Let the app run until it shows what is waited for."""
    end = time.monotonic() + 120
    while not is_there():
        if time.monotonic() > end:
            sys.exit("What was waited for did not come.")
        await asyncio.sleep(0.05)
        await pilot.pause()
    await asyncio.sleep(0.3)
    await pilot.pause()


def keep(app: EdgechatApp, name: str) -> None:
    """Write the picture. The fonts that the app's pictures name on the web are left out, for it is offline."""
    svg = re.sub(r',\s*url\("https?://[^"]*"\)\s*format\("[^"]*"\)', "", app.export_screenshot(title="edgechat"))
    svg = re.sub(r"[ \t]+\n", "\n", svg)
    (ROOT / "docs" / f"tui-{name}.svg").write_text(svg.rstrip("\n") + "\n", encoding="utf-8")


async def draw(names: list[str]) -> None:
    """Open the app as a person would, and keep what it shows."""
    from edgechat.paths import Paths
    from edgechat.tui.app import make_app
    from edgechat.tui.screens.board import BoardScreen
    from edgechat.tui.screens.first_run import FirstRunScreen
    from edgechat.tui.screens.models import ModelsScreen
    from edgechat.tui.screens.task import TaskScreen
    from edgechat.tui.screens.tasks import TasksScreen

    app = make_app(Paths.from_env())

    def shows(kind: type[object]) -> bool:
        return isinstance(app.screen, kind)

    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.chat.composer.has_focus)
        app.chat.composer.insert(QUESTION)
        await pilot.press("enter")
        await until(pilot, lambda: len(app.chat.message_list.views) == 2 and not app.chat.is_answering)
        if "chat" in names:
            keep(app, "chat")
        if "models" in names:
            await pilot.press("f3")
            await until(pilot, lambda: shows(ModelsScreen) and app.screen.models)  # type: ignore[attr-defined]
            keep(app, "models")
            await pilot.press("escape")
        if "tasks" in names:
            await until(pilot, lambda: app.screen is app.chat)
            await pilot.press("f5")
            await until(pilot, lambda: shows(TasksScreen))
            await pilot.press("enter")
            await until(pilot, lambda: shows(TaskScreen))
            await pilot.press("f6")
            await until(pilot, lambda: app.screen.form.record().get("weather"))  # type: ignore[attr-defined]
            keep(app, "tasks")
            await pilot.press("escape", "escape")
        if "board" in names:
            await until(pilot, lambda: app.screen is app.chat)
            await pilot.press("f4")
            await until(pilot, lambda: shows(BoardScreen) and app.screen._history)  # type: ignore[attr-defined]
            await asyncio.sleep(8)
            keep(app, "board")
            await pilot.press("escape")
        if "first-run" in names:
            await until(pilot, lambda: app.screen is app.chat)
            app.action_welcome()
            await until(pilot, lambda: shows(FirstRunScreen) and app.screen.models)  # type: ignore[attr-defined]
            keep(app, "first-run")


def main() -> None:
    """Draw them in a home of their own, whose engine is stopped afterwards."""
    names = sys.argv[1:] or list(NAMES)
    if strange := set(names) - set(NAMES):
        sys.exit(f"There is no picture {', '.join(strange)}; there are {', '.join(NAMES)}.")
    with tempfile.TemporaryDirectory() as home:
        os.environ["EDGECHAT_HOME"] = home
        os.environ["COLORTERM"] = "truecolor"
        try:
            asyncio.run(draw(names))
        finally:
            subprocess.run([sys.executable, "-m", "edgechat", "stop"], check=False, capture_output=True)


if __name__ == "__main__":
    main()
