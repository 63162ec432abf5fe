"""What is typed reaches an idle engine before Enter, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edgechat.config import Config
from edgechat.tui.app import make_app
from edgechat.tui.screens.chat_draft_reading import EVERY_S, PASTE_CHARS, PAUSE_S, when_to_send
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp


def contents(request: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in request["messages"]]


def other_lines(app: EdgechatApp) -> list[str]:
    """What the screen shows beside the draft."""
    return [line for line in screen_text(app).splitlines() if "Why" not in line]


@pytest.mark.parametrize(
    ("text", "n_new", "since_last_s", "sent"),
    [
        ("Why", 1, 100.0, (PAUSE_S, True)),  # in the middle of a word
        ("Why ", 1, EVERY_S, (0.0, False)),
        ("Why ", 1, EVERY_S / 2, (PAUSE_S, True)),
        ("Why?", 1, 0.0, (0.0, True)),
        ("Why?", -1, 0.0, (PAUSE_S, True)),  # the user deletes
        ("なぜ", 1, EVERY_S, (0.0, False)),
        ("なぜ。", 1, 0.0, (0.0, True)),
        ("pasted text", PASTE_CHARS, 0.0, (0.0, True)),
        ("", -5, 100.0, (PAUSE_S, True)),
    ],
)
def test_a_draft_is_sent_after_words_sentences_pauses_and_pastes(text, n_new, since_last_s, sent):
    assert when_to_send(text, n_new, since_last_s) == sent


@pytest.mark.app
def test_an_idle_engine_gets_the_draft_and_takes_back_what_is_deleted(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        app.chat.composer.insert("Why")
        await until(pilot, lambda: engine.drafts)
        quiet = other_lines(app)
        app.chat.composer.insert(" is the sky blue?")
        await until(pilot, lambda: len(engine.drafts) == 2)
        assert other_lines(app) == quiet
        app.chat.composer.reset()
        await until(pilot, lambda: len(engine.drafts) == 3)
        await ask(pilot, "Hello")
        app.chat.composer.insert("And why")
        await until(pilot, lambda: len(engine.drafts) == 4)

    with scripted_engine(paths.state, ["Hi."]) as engine:
        drive(app, story)
    drafts = [contents(each) for each in engine.drafts]
    assert drafts[:3] == [[("user", text)] for text in ("Why", "Why is the sky blue?", "")]
    assert drafts[3] == [("user", "Hello"), ("assistant", "Hi."), ("user", "And why")]
    assert [contents(each) for each in engine.requests] == [[("user", "Hello")]]
    assert all(each["prefill_limit"] == Config().read_ahead and not each["keep_on_disk"] for each in engine.drafts)
    files = [file for folder in (paths.state, paths.data, paths.cache) for file in folder.rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"sky blue" in file.read_bytes()]


@pytest.mark.app
def test_nothing_is_sent_before_enter_where_that_is_turned_off(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHAT_READ_AHEAD", "off")

    async def story(pilot: Pilot[None]) -> None:
        await pilot.press(*"Why ")
        await pilot.pause(2 * PAUSE_S)
        await ask(pilot, "is it so?")

    with scripted_engine(paths.state, ["Hi."]) as engine:
        drive(make_app(paths), story)
    assert not engine.drafts
    assert [contents(each) for each in engine.requests] == [[("user", "Why is it so?")]]
