"""A talk that has outgrown the context goes on, and the screen says what the model no longer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.engine.protocol.events import Trimmed
from tests.engine.scripted_engine import scripted_engine
from tests.tui.kit import ask, drive, kept, screen_text

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp

pytestmark = pytest.mark.app


def test_what_is_no_longer_read_is_said_at_each_turn(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await ask(pilot, "one")
        await ask(pilot, "two")
        assert "no longer read" not in screen_text(app)
        engine.before = [Trimmed(2, 4096, "", is_new=True)]
        await ask(pilot, "three")
        assert "2 earlier messages are no longer read by the model" in screen_text(app)
        engine.before = []
        await ask(pilot, "four")
        assert "2 earlier messages are no longer read by the model" in screen_text(app)
        assert len(kept(paths)) == 8, "all of it stays in the history"

    with scripted_engine(paths.state, ["Yes."]) as engine:
        drive(app, story)
        asked = [[each["content"] for each in request["messages"]] for request in engine.requests]
        assert asked[2] == ["one", "Yes.", "two", "Yes.", "three"]
        assert asked[3] == ["two", "Yes.", "three", "Yes.", "four"]
        assert {request["overflow"] for request in engine.requests} == {"trim"}
