"""What the gauge says of trimming, by the engine's own rule; and the toggles beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.protocol import conversation_trimming
from edgechat.engine.protocol.request import Message
from edgechat.tui.context_gauge import TrimForecast, count_next_trimmed, gauge_text
from tests.engine import scripted_engine as scripted
from tests.tui.kit import LARGE, ask, drive, screen_text, until

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from edgechat.paths import Paths
    from edgechat.tui.app import EdgechatApp


def talk(turns: int, length: int = 400) -> tuple[Message, ...]:
    """As many questions and answers, all of one length."""
    said = [Message(role, "x" * length) for _ in range(turns) for role in ("user", "assistant")]
    return (Message("system", "Be brief."), *said)


def test_the_forecast_is_what_the_engine_drops_when_it_counts_the_same() -> None:
    messages = talk(10)
    n_ctx = 1000

    def count(cut: conversation_trimming.Cut) -> int:
        return sum(len(each.content) for each in conversation_trimming.apply(messages, cut)) // 8

    assert count(conversation_trimming.Cut()) > conversation_trimming.longest_prompt(n_ctx, None)
    told = count_next_trimmed(messages, used=900, n_ctx=n_ctx)
    assert told % 2 == 0
    assert abs(told - conversation_trimming.choose(messages, count, n_ctx=n_ctx, max_tokens=None).dropped) <= 4
    assert count_next_trimmed(messages, used=499, n_ctx=n_ctx) == 0
    assert count_next_trimmed(messages, used=900, n_ctx=0) == 0
    assert count_next_trimmed(messages[-3:], used=900, n_ctx=n_ctx, dropped=0) in {0, 1}


def test_the_gauge_says_it_in_a_few_words() -> None:
    assert gauge_text(0, 0) == ""
    assert gauge_text(100, 4096) == "▰▱▱▱▱▱▱▱ 100/4,096"
    assert gauge_text(3000, 4096, TrimForecast(2, 4)) == "2 unread · oldest 4 go next · ▰▰▰▰▰▰▱▱ 3,000/4,096"


@pytest.mark.app
def test_the_gauge_warns_before_anything_goes(app: EdgechatApp, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "STARTED", dataclasses.replace(scripted.STARTED, n_ctx=1000))
    done = dataclasses.replace(scripted.DONE, usage={**scripted.DONE.usage, "prompt_tokens": 700})
    monkeypatch.setattr(scripted, "DONE", done)

    async def story(pilot: Pilot[None]) -> None:
        for _ in range(4):
            await ask(pilot, "One more question of some length, and then another")
        await until(pilot, lambda: "go next" in screen_text(app))
        assert "701/1,000" in screen_text(app)

    with scripted.scripted_engine(paths.state, ["An answer of some length. " * 4]):
        drive(app, story, LARGE)


def test_thinking_is_asked_for_and_shown(app: EdgechatApp, paths: Paths) -> None:
    async def story(pilot: Pilot[None]) -> None:
        await pilot.press("f9")
        await until(pilot, lambda: "thinks first" in screen_text(app))
        await ask(pilot, "One")
        await pilot.press("f9")
        await until(pilot, lambda: "thinks first" not in screen_text(app))
        await ask(pilot, "Two")

    with scripted.scripted_engine(paths.state, ["Answer"]) as engine:
        drive(app, story)
        assert [request["think"] for request in engine.requests] == [True, False]
