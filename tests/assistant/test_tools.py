"""Tools of the Python API: what is offered, what is refused, and the call that comes instead of its text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgechat import Assistant, Message, Tool, ToolCall
from edgechat.assistant.answer import collect_answer
from edgechat.assistant.tools import parse_calls, tool_constraint
from edgechat.engine.protocol.events import Done, Text
from edgechat.errors import AnswerError, DeadlineError, InvalidInputError, SchemaError, UsageError
from tests.engine.scripted_engine import DONE, STARTED
from tests.tool_template import write_hermes_model

if TYPE_CHECKING:
    from collections.abc import Generator

    from edgechat.engine.protocol.events import Event


def read_sensor(sensor: str, unit: str = "celsius", *, places: list[int] | None = None) -> float:
    """The present temperature at a sensor."""
    raise NotImplementedError


SENSOR = Tool.of(read_sensor)
LIGHT = Tool("set_light", "Switch the light.", {"type": "object", "properties": {"on": {"type": "boolean"}}})


def said(*pieces: str, finish_reason: str = "stop") -> Generator[Event, None, None]:
    yield STARTED
    yield Text("Hm.", (1,), is_thought=True)
    for piece in pieces:
        yield Text(piece, (1,))
    yield replace(DONE, finish_reason=finish_reason)


def test_a_function_becomes_a_tool_by_its_name_docstring_and_annotations() -> None:
    function = SENSOR.for_template()["function"]
    assert (function["name"], function["description"]) == ("read_sensor", "The present temperature at a sensor.")
    arguments = function["parameters"]
    assert arguments["required"] == ["sensor"]
    assert {name: each.get("type") for name, each in arguments["properties"].items()} == {
        "sensor": "string", "unit": "string", "places": None,
    }  # fmt: skip
    assert arguments["additionalProperties"] is False


def unannotated(sensor) -> None:
    raise NotImplementedError


def many(*sensors: str) -> None:
    raise NotImplementedError


def by_place(sensor: str, /) -> None:
    raise NotImplementedError


class Opaque:
    """Has no JSON form."""


def opaque(thing: Opaque) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("function", [unannotated, many, by_place, opaque, lambda: None])
def test_a_function_whose_arguments_json_cannot_name_is_refused_with_the_way_out(function: Any) -> None:
    with pytest.raises(UsageError) as refused:
        Tool.of(function)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("tools", "choice", "word"),
    [
        ((SENSOR, SENSOR), "auto", "same name"),
        ((SENSOR,), "set_light", "read_sensor"),
        ((), "required", "no tools"),
        ((Tool("x", "", {"type": "object"}), *(Tool(f"t{i}") for i in range(64))), "auto", "at most 64"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused_before_anything_starts(
    tools: tuple[Tool, ...], choice: str, word: str
) -> None:
    with Assistant.open() as assistant, pytest.raises(UsageError) as refused:
        assistant.ask("Hi", tools=tools, tool_choice=choice)
    assert word in f"{refused.value.message} {refused.value.hint}"


def test_the_tool_whose_schema_cannot_be_enforced_is_named() -> None:
    bad = Tool("bad_one", "", {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}})
    with pytest.raises(SchemaError, match="bad_one"):
        tool_constraint((SENSOR, bad), "auto")


def test_the_choice_decides_whether_the_answer_may_must_or_must_not_be_a_call() -> None:
    assert set(tool_constraint((SENSOR, LIGHT), "auto") or {}) == {"tool_call"}
    required, named = (tool_constraint((SENSOR, LIGHT), choice) for choice in ("required", "set_light"))
    assert required is not None
    assert named is not None
    assert len(required["json_schema"]["anyOf"]) == 2
    assert [each["properties"]["name"]["const"] for each in named["json_schema"]["anyOf"]] == ["set_light"]
    assert tool_constraint((SENSOR,), "none") is None
    assert tool_constraint((), "auto") is None


@pytest.mark.parametrize("frame", ["{}", "<tool_call>\n{}\n</tool_call>", "```json\n{}\n```"])
@pytest.mark.parametrize("step", [1, 7, 500])
def test_the_text_of_a_call_comes_as_the_call(frame: str, step: int) -> None:
    text = frame.replace("{}", '{"name": "read_sensor", "arguments": {"sensor": "a {b} \\"c\\""}}')
    events = list(parse_calls(said(*(text[at : at + step] for at in range(0, len(text), step))), (SENSOR,)))
    assert [each for each in events if isinstance(each, Text) and not each.is_thought] == []
    call, done = events[-2:]
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("read_sensor", {"sensor": 'a {b} "c"'})
    assert isinstance(done, Done)
    assert done.finish_reason == "tool_calls"
    answer = collect_answer(iter(events))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("", (call,), "tool_calls")


def test_a_text_that_is_no_call_passes_whole() -> None:
    answer = collect_answer(parse_calls(said("It ", "is `hot`", " {now}."), (SENSOR,)))
    assert (answer.text, answer.tool_calls, answer.finish_reason) == ("It is `hot` {now}.", (), "stop")
    assert answer.message == Message("assistant", "It is `hot` {now}.")


@pytest.mark.parametrize(("finish_reason", "error"), [("length", AnswerError), ("timeout", DeadlineError)])
def test_half_a_call_is_an_error_and_no_guess(finish_reason: str, error: type[Exception]) -> None:
    half = said('{"name": "read_sensor", "arguments": {"sens', finish_reason=finish_reason)
    with pytest.raises(error, match="read_sensor"):
        collect_answer(parse_calls(half, (SENSOR,)))


def test_closing_the_stream_closes_the_answer_below() -> None:
    below = said("one", "two")
    events = parse_calls(below, (SENSOR,))
    next(events)
    events.close()
    assert next(below, None) is None


def test_a_result_is_a_text_or_json() -> None:
    call = ToolCall("call_1", "read_sensor", {"sensor": "boiler"})
    assert call.result("hot") == Message("tool", "hot", tool_call_id="call_1")
    assert call.result({"t": [71.5, "é"]}).content == '{"t": [71.5, "é"]}'


@pytest.mark.engine
@pytest.mark.usefixtures("cli")
def test_a_call_its_result_and_the_answer_go_through_the_engine(tmp_path, monkeypatch) -> None:
    with Assistant.open() as assistant, pytest.raises(InvalidInputError, match="no place for tools"):
        assistant.ask("How hot is it?", tools=[SENSOR], max_tokens=8)  # the starter's own template
    monkeypatch.setenv("EDGECHAT_MODEL", str(write_hermes_model(tmp_path)))
    with Assistant.open() as assistant:
        question = [Message("user", "How hot is the boiler?")]
        *_, call, done = assistant.stream(
            question, tools=[SENSOR, LIGHT], tool_choice="read_sensor", max_tokens=100, temperature=0
        )
        assert isinstance(call, ToolCall)
        assert isinstance(done, Done)
        assert call.name == "read_sensor"
        assert isinstance(call.arguments["sensor"], str)
        asked = assistant.ask(question, tools=[SENSOR, LIGHT], tool_choice="read_sensor", max_tokens=100, temperature=0)
        assert asked.tool_calls[0].arguments == call.arguments
        # An empty result is a result, and the call before it is part of the prompt.
        for result in ("", "71.5"):
            history = [*question, asked.message, asked.tool_calls[0].result(result)]
            answer = assistant.ask(history, tools=[SENSOR, LIGHT], max_tokens=4, temperature=0)
            assert answer.usage["prompt_tokens"] > asked.usage["prompt_tokens"]
