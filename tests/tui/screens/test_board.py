"""The board screen, the command palette, keys and looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.command import CommandPalette

from edgechat.tui import preferences
from edgechat.tui.app import make_app
from edgechat.tui.dialogs.key_help import full_name
from edgechat.tui.preferences import Preferences
from edgechat.tui.screens import board
from edgechat.tui.screens.board import BoardScreen
from edgechat.tui.screens.models import ModelsScreen
from edgechat.tui.screens.tasks import TasksScreen
from edgechat.tui.themes import THEMES
from tests.tui.kit import LARGE, SMALL, drive, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot
    from textual.screen import Screen

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
def test_the_board_says_what_it_is_and_how_it_feels(app: EdgechatApp, size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, BoardScreen) and "CPU" in screen_text(app))
        shown = screen_text(app)
        assert "cores" in shown
        assert "No engine is running" in shown
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.chat)

    drive(app, story, size)


def test_the_history_is_to_scale() -> None:
    assert board.cpu_graph([0.0, 12.5, 50.0, 99.0, 100.0], 80) == "▁▂▅██"
    assert board.cpu_graph([100.0, 0.0, 0.0], 2) == "▁▁"


def test_the_command_palette_offers_what_keys_do(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Models", "Board", "New", "Attach", "Save", "Theme"} <= titles
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.chat)

    drive(app, story)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
def test_f1_shows_the_keys_of_this_place(app: EdgechatApp, size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f1")
        await until(pilot, lambda: "Start a new line" in screen_text(app))
        assert "Stop the answer" in screen_text(app)
        await pilot.press("end")
        await until(pilot, lambda: "tui.json" in screen_text(app).replace("\n", ""))
        await pilot.press("f1")
        await until(pilot, lambda: app.screen is app.chat)
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, BoardScreen))
        await pilot.press("f1")
        await until(pilot, lambda: "Back to the chat" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, BoardScreen))

    drive(app, story, size)


@pytest.mark.parametrize(("key", "place"), [("f3", ModelsScreen), ("f5", TasksScreen)])
def test_the_keys_of_other_places_work_on_the_board(app: EdgechatApp, key: str, place: type[Screen[object]]) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, BoardScreen))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, place))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.chat)

    drive(app, story)


def test_keys_are_named_as_on_keyboards() -> None:
    names = [full_name(key) for key in ("ctrl+up", "f3", "enter", "ctrl+j", "slash", "d", "escape", "shift+enter")]
    assert names == ["Ctrl+↑", "F3", "Enter", "Ctrl+J", "/", "d", "Esc", "Shift+Enter"]


def test_keys_can_be_changed(paths: Paths) -> None:
    preferences.write(paths, Preferences(keys={"app.board": "f12"}))
    app = make_app(paths)

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f4")
        await pilot.pause()
        assert app.screen is app.chat
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, BoardScreen))

    drive(app, story)


def test_a_theme_is_shown_and_remembered(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        for theme in reversed(THEMES):
            app.theme = theme.name
            await pilot.pause()
            assert "Everything you write stays" in screen_text(app)
            assert preferences.read(paths).theme == theme.name

    drive(app, story)


def test_no_color_draws_in_grey(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(paths)

    async def story(pilot: Pilot[None]) -> None:
        assert app.no_color
        assert "Everything you write stays" in screen_text(app)

    drive(app, story)
