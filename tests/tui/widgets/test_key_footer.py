"""The line with the keys: whole words, whatever the width; the key that lists all is always among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.tui.widgets.key_footer import Key, KeyFooter, fitting, short_name
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app

KEYS = [
    Key("c", "c", "Copy", "copy"),
    Key("ctrl+r", "^R", "Again", "again"),
    Key("f1", "F1", "Keys", "toggle_help"),
    Key("f5", "F5", "Aufgaben", "tasks"),
]


def shown(keys: list[Key], width: int) -> str:
    """The line as it reads."""
    found, gap = fitting(keys, width)
    return (" " * gap).join(f"{key.shown} {key.words}" for key in found)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "c Copy  ^R Again  F1 Keys  F5 Aufgaben"),
        (35, "c Copy ^R Again F1 Keys F5 Aufgaben"),
        (34, "c Copy  ^R Again  F1 Keys"),
        (23, "c Copy ^R Again F1 Keys"),
        (22, "c Copy  F1 Keys"),
        (7, "F1 Keys"),
        (3, ""),
    ],
)
def test_keys_are_left_out_whole_and_the_last_first(width: int, line: str) -> None:
    assert shown(KEYS, width) == line
    assert len(line) <= width


@pytest.mark.parametrize(("key", "name"), [("f2", "F2"), ("^r", "^R"), ("esc", "Esc"), ("f", "f"), ("⏎", "⏎")])
def test_keys_are_short_name_as_everywhere(key: str, name: str) -> None:
    assert short_name(key) == name


def last_line(app: EdgechatApp) -> str:
    """The line with the keys."""
    return screen_text(app).splitlines()[-1].strip()


def test_at_80_columns_a_focused_message_shows_whole_keys_and_a_click_presses_one(
    app: EdgechatApp, paths: Paths
) -> None:
    async def story(pilot: Pilot[None]) -> None:
        assert last_line(app) == "⏎ Send Esc Stop ^R Again ^N New F2 Chats F3 Models F4 Board F5 Tasks F1 Keys"
        await ask(pilot, "Why?")
        await pilot.press("ctrl+up")
        await until(pilot, lambda: "c Copy" in last_line(app))
        line = last_line(app)
        assert line.startswith("c Copy r Again f Fork")
        assert line.endswith("F1 Keys")
        await pilot.click(KeyFooter, offset=(1 + line.index("F1"), 0))
        await until(pilot, lambda: app.screen is not app.chat)

    with scripted_engine(paths.state, ["Because."]):
        drive(app, story)
