"""Earlier messages are summed up before they go; here the engine is written by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.client.summarize import SUMMARY_PROMPT, answer_with_summary, whole_sentences
from edgechat.engine.protocol.events import Done, Event, Prefill, Queued, Text, Trimmed
from edgechat.engine.protocol.request import Message, Request
from edgechat.errors import ContextOverflowError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

TALK = (
    Message("system", "Be brief."),
    Message("user", "one"),
    Message("assistant", "so"),
    Message("user", "two"),
)
REQUEST = Request(TALK, overflow="summarize", keep="conversation 1", timeout_s=60, max_tokens=500)


def done(reason: str = "stop") -> Done:
    return Done(reason, {"completion_tokens": 2}, {}, 1, is_context_full=False, peak_rss_bytes=1, load_s=0)


@dataclass
class Engine:
    """Refuses what has no summary yet, and sums up as it is told."""

    summary: tuple[Event, ...]
    fault: Exception | None = None
    dropped: int = 2
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Iterator[Event]:
        self.asked.append(request)
        if request.messages[-1].content == SUMMARY_PROMPT:
            yield from self.summary
            if self.fault is not None:
                raise self.fault
        elif request.overflow == "summarize" and not request.summary:
            error = ContextOverflowError(5000, 4096)
            error.dropped = self.dropped
            raise error
        else:
            yield Trimmed(self.dropped, 4096, request.summary, is_new=True)
            yield Text("fine", (1,))
            yield done()


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Text)]


def test_what_goes_is_summed_up_and_the_summary_goes_with_the_question() -> None:
    engine = Engine((Prefill(1, 2), Text("They counted.", (1,)), done()))
    events = list(answer_with_summary(engine.answer, REQUEST))

    _, summing, answer = engine.asked
    assert summing.messages == (*TALK[:3], Message("user", SUMMARY_PROMPT)), "read as far as it is in the cache"
    assert summing.max_tokens == 160
    assert summing.keep is None
    assert summing.timeout_s == 30
    assert (answer.summary, answer.overflow, answer.messages) == ("They counted.", "summarize", TALK)
    assert texts(events) == ["fine"], "the summary is no part of the answer"
    assert isinstance(events[0], Queued)
    assert Trimmed(2, 4096, "They counted.", is_new=True) in events


@pytest.mark.parametrize(
    "engine",
    [
        Engine((Text("They", (1,)),), EngineError("It died.")),
        Engine((done(),)),
        Engine((Text("They counted.", (1,)), done("timeout"))),
        Engine((Text("thought", (1,), is_thought=True), done())),
    ],
    ids=["died", "empty", "too slow", "thoughts only"],
)
def test_without_a_summary_the_messages_just_go(engine: Engine) -> None:
    events = list(answer_with_summary(engine.answer, REQUEST))

    assert (engine.asked[-1].overflow, engine.asked[-1].summary) == ("trim", "")
    assert texts(events) == ["fine"]


def test_the_time_that_the_summary_took_is_taken_from_the_answer() -> None:
    engine = Engine((Text("They counted.", (1,)), done()))
    list(answer_with_summary(engine.answer, replace(REQUEST, timeout_s=1e-9)))
    assert engine.asked[-1].timeout_s == 0.001, "all of it"

    list(answer_with_summary(engine.answer, REQUEST))
    left = engine.asked[-1].timeout_s
    assert left is not None
    assert 0 < left < 60
    list(answer_with_summary(engine.answer, replace(REQUEST, timeout_s=None)))
    assert engine.asked[-1].timeout_s is None


def test_a_question_too_long_by_itself_is_refused() -> None:
    engine = Engine((), dropped=0)
    with pytest.raises(ContextOverflowError):
        list(answer_with_summary(engine.answer, REQUEST))
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("One. Two. Thr", "One. Two."),
        ("Version 1.5 costs 3.2", "Version 1.5 costs 3.2"),
        ("\u4e00\u3064\u3002\u4e8c", "\u4e00\u3064\u3002"),
        ("- one\n- tw", "- one"),
    ],
)
def test_a_cut_sentence_is_left_off(text: str, whole: str) -> None:
    assert whole_sentences(text, is_cut=True) == whole
    assert whole_sentences(text, is_cut=False) == text
