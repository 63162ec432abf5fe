"""A question and its answer are on disk at the moments that matter; here the engine's events are written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgechat.chat.conversation import Message
from edgechat.chat.history import History
from edgechat.chat.turn import OVERFLOW_HINT, Turn, joined_by_role
from edgechat.engine.protocol import request
from edgechat.engine.protocol.conversation_trimming import MARK
from edgechat.engine.protocol.events import Done, Event, Recovered, Started, Text, Trimmed
from edgechat.errors import ContextOverflowError, EdgechatError, EngineError, ModelNotFoundError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgechat.paths import Paths

STARTED = Started("small", "Q4_0", 2048, 10, 0, ("en",), is_starter=False, stepped_down_from=None)
USAGE = {"prompt_tokens": 10, "completion_tokens": 2}


def done(reason: str = "stop") -> Done:
    return Done(reason, USAGE, {"decode_tps": 5.0}, 1, is_context_full=False, peak_rss_bytes=1, load_s=0.5)


def begin(paths: Paths, question: str, *, system: str | None = None, is_new: bool = False) -> Turn:
    return Turn.begin(History.open(paths), question, system=system, default_system="", is_new=is_new)


def ask(paths: Paths, question: str, *events: Event, is_new: bool = False) -> Turn:
    with begin(paths, question, is_new=is_new) as turn:
        list(turn.record(iter(events)))
    return turn


def on_disk(paths: Paths, number: int = 1) -> list[tuple[str, str, str]]:
    """As another process sees it."""
    with History.open(paths) as history:
        return [(each.role, each.content, each.status) for each in history.messages(number)]


def test_the_question_is_on_disk_before_the_engine_hears_it(paths: Paths) -> None:
    def engine() -> Iterator[Event]:
        assert on_disk(paths) == [("user", "why?", "complete")]
        yield STARTED
        yield Text("because", (1,))
        yield done()

    with begin(paths, "why?") as turn:
        for event in turn.record(engine()):
            if isinstance(event, Done):
                assert on_disk(paths)[1] == ("assistant", "because", "complete"), "on disk before it is shown as done"
    with History.open(paths) as history:
        answer = history.messages(1)[1]
        assert (answer.model, answer.quant, answer.usage) == ("small", "Q4_0", USAGE)
        assert answer.timing == {"decode_tps": 5.0, "load_s": 0.5}
        assert history.conversation(1).origin == "ask"


def test_the_last_one_goes_on_and_a_new_one_begins_where_it_is_wanted(paths: Paths) -> None:
    answered = (STARTED, Text("so", (1,)), done())
    ask(paths, "one", *answered)
    with History.open(paths) as history:
        history.add_question(history.start().id, "in the app")
    with begin(paths, "two") as turn:
        assert [(each.role, each.content) for each in turn.messages()] == [
            ("user", "one"), ("assistant", "so"), ("user", "two"),
        ]  # fmt: skip
        list(turn.record(iter(answered)))
    ask(paths, "three", *answered, is_new=True)
    ask(paths, "four", *answered)
    assert [each[1] for each in on_disk(paths, 3)] == ["three", "so", "four", "so"]
    with History.open(paths) as history:
        history.delete(3)
    ask(paths, "five", *answered)
    assert [each[1] for each in on_disk(paths, 1)] == ["one", "so", "two", "so", "five", "so"]


def test_a_system_prompt_stays_with_the_conversation_until_another_is_given(paths: Paths) -> None:
    def system_of(**options: str | None) -> list[str]:
        history = History.open(paths)
        with Turn.begin(history, "q", system=options.get("s"), default_system="default", is_new=False) as turn:
            list(turn.record(iter((STARTED, Text("a", ()), done()))))
            return [each.content for each in turn.messages() if each.role == "system"]

    assert system_of() == ["default"]
    assert system_of(s="other") == ["other"]
    assert system_of() == ["other"]
    assert system_of(s="") == []


def fails(error: BaseException, *events: Event) -> Iterator[Event]:
    yield from events
    raise error


@pytest.mark.parametrize("error", [EngineError("It died."), KeyboardInterrupt(), SystemExit()])
def test_whatever_ends_an_answer_leaves_what_there_is(paths: Paths, error: BaseException) -> None:
    events = fails(error, STARTED, Text("so ", (1,)), Recovered("signal", "came back"), STARTED, Text("far", (2,)))
    turn = begin(paths, "why?")
    with pytest.raises(type(error)), turn:
        list(turn.record(events))
    assert on_disk(paths) == [("user", "why?", "complete"), ("assistant", "so far", "partial")]


@pytest.mark.parametrize("reason", ["timeout", "cancelled"])
def test_a_cut_answer_is_partial(paths: Paths, reason: str) -> None:
    ask(paths, "why?", STARTED, Text("so", (1,)), done(reason))
    assert on_disk(paths)[1] == ("assistant", "so", "partial")


@pytest.mark.parametrize("error", [ModelNotFoundError("No model."), ContextOverflowError(5000, 4096)])
def test_a_refused_question_does_not_stand_in_the_way(paths: Paths, error: EdgechatError) -> None:
    turn = begin(paths, "too long")
    with pytest.raises(type(error)) as caught, turn:
        list(turn.record(fails(error)))
    assert OVERFLOW_HINT not in str(caught.value), "alone it is the question that is too long"
    with History.open(paths) as history:
        assert history.conversations() == []
        assert [each.title for each in history.conversations(is_deleted=True)] == ["too long"]
    ask(paths, "short", STARTED, Text("ok", ()), done())
    turn = begin(paths, "too long again")
    with pytest.raises(type(error)) as caught, turn:
        list(turn.record(fails(error)))
    assert [each[1] for each in on_disk(paths, 2)] == ["short", "ok"]
    if isinstance(error, ContextOverflowError):
        assert "5000" in str(caught.value)
        assert "4096" in str(caught.value)
        assert "ask -c --new" in str(caught.value)


def test_an_answer_goes_on_when_it_cannot_be_kept(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = begin(paths, "why?")
    turn._history.close()  # nothing can be written any more

    def refuse(*_: object) -> None:
        raise StateError("The disk is full.")

    monkeypatch.setattr(turn._history, "start_answer", refuse)
    with turn:
        shown = list(turn.record(iter((STARTED, Text("so", ()), done()))))
    assert len(shown) == 3
    assert turn.fault is not None
    assert turn.fault.message == "The disk is full."


U: Callable[[str], Message] = lambda text: Message("user", text)  # noqa: E731
A: Callable[[str], Message] = lambda text: Message("assistant", text, "thoughts stay here")  # noqa: E731


@pytest.mark.parametrize(
    ("system", "kept", "sent"),
    [
        ("", [U("a")], ["user a"]),
        ("s", [U("a"), A("b"), U("c")], ["system s", "user a", "assistant b", "user c"]),
        ("", [U("a"), A(""), U("c")], ["user a\n\nc"]),
        ("", [U("a"), U("b")], ["user a\n\nb"]),
        ("s", [Message("system", "t"), U("a")], ["system s\n\nt", "user a"]),
    ],
)
def test_the_engine_reads_roles_by_turns(system: str, kept: list[Message], sent: list[str]) -> None:
    messages = [message for message, _ in joined_by_role(system, kept)]
    assert [f"{each.role} {each.content}" for each in messages] == sent
    assert all(isinstance(each, request.Message) for each in messages)


def trimmed(messages: int, summary: str = "") -> Trimmed:
    return Trimmed(messages, 4096, summary, is_new=True)


def test_what_is_no_longer_read_stays_so_and_is_said_at_each_turn(paths: Paths) -> None:
    answered = (STARTED, Text("so", (1,)), done())
    for question in ("one", "two", "three"):
        ask(paths, question, *answered)
    with begin(paths, "four") as turn:
        assert len(turn.messages()) == 7
        told = [each for each in turn.record(iter((trimmed(4), *answered))) if isinstance(each, Trimmed)]
    assert told == [trimmed(4)]
    with begin(paths, "five") as turn:
        assert [each.content for each in turn.messages()] == ["three", "so", "four", "so", "five"]
        told = [each for each in turn.record(iter((trimmed(2), *answered))) if isinstance(each, Trimmed)]
    assert [(each.messages, each.is_new) for each in told] == [(4, False), (6, True)]
    assert len(on_disk(paths)) == 10, "all of it stays in the history"
    with begin(paths, "six") as turn:
        assert turn.messages()[0].content == "four"
        assert turn.messages(4096)[0].content == "four"
        assert turn.messages(8192)[0].content == "one", "a larger context has room for all of it"


def test_a_summary_is_sent_with_the_first_message_that_is_read(paths: Paths) -> None:
    ask(paths, "one", STARTED, Text("so", (1,)), done())
    with begin(paths, "two") as turn:
        turn.messages()
        list(turn.record(iter((trimmed(2, "They counted."), STARTED, done()))))
    with begin(paths, "three") as turn:
        assert [each.content for each in turn.messages()] == [f"{MARK}\nThey counted.\n\ntwo\n\nthree"]


def test_editing_before_what_is_read_lets_the_model_read_from_the_beginning(paths: Paths) -> None:
    answered = (STARTED, Text("so", (1,)), done())
    for question in ("one", "two"):
        ask(paths, question, *answered)
    with begin(paths, "three") as turn:
        turn.messages()
        list(turn.record(iter((trimmed(4), *answered))))
    with History.open(paths) as history:
        history.retract(history.messages(1)[2].id)
    with begin(paths, "new two") as turn:
        assert [each.content for each in turn.messages()] == ["one", "so", "new two"]
