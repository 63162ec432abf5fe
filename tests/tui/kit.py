"""Runs the app without a terminal, and waits for what a person would wait for."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from edgechat.chat.history import History

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

SMALL, LARGE = (80, 24), (160, 48)


async def until(pilot: Pilot[None], true: Callable[[], object], *, patience_s: float = 20.0) -> None:
    """Let the app run until ``true`` is, or fail."""
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, "what was waited for did not come"
        await asyncio.sleep(0.02)
        await pilot.pause()


async def ask(pilot: Pilot[None], text: str) -> None:
    """Write a question, send it, and wait for the end of its answer."""
    app: EdgechatApp = pilot.app  # type: ignore[assignment]
    before = len(app.chat.message_list.views)
    app.chat.composer.insert(text)
    await pilot.press("enter")
    await until(pilot, lambda: len(app.chat.message_list.views) >= before + 2 and not app.chat.is_answering)


def screen_text(app: EdgechatApp) -> str:
    """What the screen shows, line by line."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)


def kept(paths: Paths, conversation: int = 1) -> list[tuple[str, str, str]]:
    """Role, text and status of what is on disk, seen as another process sees it."""
    with History.open(paths) as history:
        return [(each.role, each.content, each.status) for each in history.messages(conversation)]


def drive(
    app: EdgechatApp,
    story: Callable[[Pilot[None]], Awaitable[None]],
    size: tuple[int, int] = SMALL,
    *,
    waits: bool = True,
    notifications: bool = False,
) -> None:
    """Run the app while ``story`` is told; with ``waits`` it begins when the chat takes keys.

    Args:
        app: not yet running.
        story: gets the pilot.
        size: columns and rows.
        waits: begin only when the chat takes keys.
        notifications: show toasts, which Textual leaves out of tests by default.
    """

    async def told() -> None:
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await until(pilot, lambda: app.chat.composer.has_focus or not waits)
            await story(pilot)

    asyncio.run(told())
