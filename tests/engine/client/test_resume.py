"""An answer goes on behind what has arrived: by token ids with the same model, by its text with another."""

from __future__ import annotations

from dataclasses import replace

from edgechat.engine.client.resume import PartialAnswer
from edgechat.engine.protocol.events import Event, Text
from edgechat.engine.protocol.request import Message, Request
from tests.engine.scripted_engine import STARTED

QUESTION = Request((Message("user", "hi"),), max_tokens=9)


def after(*events: Event) -> Request:
    received = PartialAnswer(QUESTION)
    for event in events:
        received.add(event)
    return received.remainder()


def test_nothing_received_is_the_request_itself():
    assert after() == QUESTION


def test_the_same_model_goes_on_behind_the_tokens():
    left = after(STARTED, Text("Hel", (1, 2)), STARTED, Text("lo", (3,)))
    assert (left.resume, left.resume_model, left.resume_text) == ((1, 2, 3), STARTED.model, "Hello")
    assert left.messages == QUESTION.messages


def test_thoughts_are_tokens_but_no_text():
    left = after(STARTED, Text("hm", (1, 2), is_thought=True), Text("yes", (3,)))
    assert (left.resume, left.resume_text) == ((1, 2, 3), "yes")


def test_once_a_second_model_wrote_only_the_text_is_handed_on():
    smaller = replace(STARTED, model="smaller")
    left = after(STARTED, Text("Hel", (1, 2)), smaller, Text("lo", (7,)))
    assert (left.resume, left.resume_text) == ((), "Hello")
    assert left.resume_model not in {None, STARTED.model, "smaller"}
    # Also for the first model, should it come back.
    again = after(STARTED, Text("a", (1,)), smaller, Text("b", (7,)), STARTED, Text("c", (2,)))
    assert (again.resume, again.resume_text) == ((), "abc")


def test_time_that_has_passed_is_not_given_again():
    received = PartialAnswer(replace(QUESTION, timeout_s=1000.0))
    first, second = received.remainder().timeout_s, received.remainder().timeout_s
    assert first is not None
    assert second is not None
    assert 0 < second < first < 1000


def test_a_conversation_that_would_be_summed_up_now_is_only_trimmed_once_its_answer_has_begun():
    talk = replace(QUESTION, overflow="summarize")
    received = PartialAnswer(talk)
    assert received.remainder().overflow == "summarize"
    received.add(Text("Hel", (1, 2)))
    assert received.remainder().overflow == "trim"
    summed = PartialAnswer(replace(talk, summary="They counted."))
    summed.add(Text("Hel", (1, 2)))
    assert summed.remainder().overflow == "summarize"
    asked = PartialAnswer(QUESTION)
    asked.add(Text("Hel", (1, 2)))
    assert asked.remainder().overflow == "refuse"
