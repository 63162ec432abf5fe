"""Tools over real HTTP, on the starter model with a chat template that knows them (its own does not)."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from edgechat.engine.client.tool_call_parser import ToolCallParser
from tests.serve.server import Server
from tests.tool_template import write_hermes_model


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": f"To {name}.", "parameters": parameters}}


WEATHER = tool("get_weather", city={"enum": ["Paris", "Rome"]}, days={"type": "integer", "minimum": 1, "maximum": 9})
LIGHT = tool("set_light", on={"type": "boolean"})
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model's template knows tools."""
    file = write_hermes_model(tmp_path_factory.mktemp("tools"))
    with Server(tmp_path_factory.mktemp("home"), "-m", str(file)) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def client(knowing: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{knowing.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def create(client: openai.OpenAI, **fields: Any) -> Any:
    asked = {"model": "default", "messages": ASK, "tools": [WEATHER, LIGHT], "temperature": 0, "max_tokens": 60}
    return client.chat.completions.create(**{**asked, **fields})


@pytest.mark.engine
def test_a_required_call_fits_one_of_the_schemas(client: openai.OpenAI) -> None:
    (choice,) = create(client, tool_choice="required").choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    arguments = json.loads(call.function.arguments)
    names = {"get_weather": {"city", "days"}, "set_light": {"on"}}
    assert set(arguments) == names[call.function.name]
    assert call.id.startswith("call_")


@pytest.mark.engine
def test_a_named_tool_is_the_one_that_is_called_streamed_or_not(client: openai.OpenAI) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    (call,) = create(client, tool_choice=choice).choices[0].message.tool_calls
    whole = json.loads(call.function.arguments)
    assert call.function.name == "get_weather"
    assert whole["city"] in {"Paris", "Rome"}
    assert 1 <= whole["days"] <= 9
    chunks = [each.choices[0] for each in create(client, tool_choice=choice, stream=True)]
    pieces = [each.delta.tool_calls[0] for each in chunks if each.delta.tool_calls]
    assert (pieces[0].function.name, pieces[0].function.arguments) == ("get_weather", "")
    assert all(piece.id is None and piece.function.name is None for piece in pieces[1:])
    assert json.loads("".join(piece.function.arguments for piece in pieces)) == whole
    assert chunks[-1].finish_reason == "tool_calls"


@pytest.mark.engine
def test_with_auto_it_is_text_or_a_call_that_fits(client: openai.OpenAI) -> None:
    (choice,) = create(client, tool_choice="auto", max_tokens=24).choices
    if choice.message.tool_calls:
        json.loads(choice.message.tool_calls[0].function.arguments)
    else:
        assert choice.message.content
    (none,) = create(client, tool_choice="none", max_tokens=8).choices
    assert none.message.tool_calls is None
    assert none.message.content


@pytest.mark.engine
def test_what_a_tool_answered_goes_back_to_the_model(client: openai.OpenAI) -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris", "days": 1}'},
    }
    talk = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny, 21 degrees <|im_end|>"},
    ]
    with_result = create(client, messages=talk, tool_choice="none", max_tokens=8)
    assert with_result.choices[0].message.content
    assert with_result.usage.prompt_tokens > create(client, tool_choice="none", max_tokens=1).usage.prompt_tokens + 20


@pytest.mark.engine
def test_what_cannot_be_called_is_refused_by_name(client: openai.OpenAI) -> None:
    odd = {"type": "function", "function": {"name": "nope"}}
    for wrong, param in (
        ({"tool_choice": odd}, "tool_choice"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            create(client, **wrong)
        assert refused.value.param == param


@pytest.mark.engine
def test_a_template_without_a_place_for_tools_is_said_and_nothing_is_guessed(server: Server) -> None:
    for fields in ({"tools": [WEATHER]}, {"messages": [*ASK, {"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]}]}):  # fmt: skip
        response = server.post("/v1/chat/completions", {"messages": ASK, "max_tokens": 4, **fields})
        assert response.status_code == 400
        assert "no place for tools" in response.json()["error"]["message"]
    assert server.chat(tools=[WEATHER], tool_choice="none").status_code == 200


TAGGED = '<tool_call>\n{"name": "f", "arguments": {"a": "}\\n</tool_call>"}}\n</tool_call>'


@pytest.mark.parametrize("size", [1, 3, 7, 200])
@pytest.mark.parametrize("text", ['{"name":"f","arguments":{"a":"}"}}', TAGGED])
def test_a_call_is_read_however_its_text_is_cut(text: str, size: int) -> None:
    parser = ToolCallParser(frozenset(("f",)))
    deltas = [parser.feed(text[start : start + size]) for start in range(0, len(text), size)]
    deltas.append(parser.end())
    told = [each["tool_calls"][0]["function"] for each in deltas if each is not None]
    assert [each["name"] for each in told if "name" in each] == ["f"]
    assert "".join(each["arguments"] for each in told) == parser.call["function"]["arguments"]
    assert json.loads(parser.call["function"]["arguments"])["a"].startswith("}")


def test_text_is_told_as_it_comes_and_a_cut_call_as_text() -> None:
    parser = ToolCallParser(frozenset(("f",)))
    assert parser.feed("Hel") == {"content": "Hel"}
    assert parser.feed("lo {") == {"content": "lo {"}
    assert parser.end() is None
    cut = ToolCallParser(frozenset(("f",)))
    assert cut.feed('{"na') is None
    assert cut.end() == {"content": '{"na'}


def asked(*tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": ASK, "tools": list(tools), "temperature": 0, "max_tokens": 60, **fields}


def called(server: Server, body: dict[str, Any]) -> tuple[str, Any]:
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    (call,) = response.json()["choices"][0]["message"]["tool_calls"]
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def with_parameters(name: str, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", **parameters}}}


UNIT = {"properties": {"unit": {"$ref": "#/$defs/Unit"}}, "required": ["unit"]}
DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}
SCHEMAS = {
    "$defs": {**UNIT, "$defs": {"Unit": {"enum": ["C"]}}},
    "$defs and a draft": {**DRAFT_7, **UNIT, "$defs": {"Unit": {"enum": ["C"]}}},
    "definitions and $id": {
        **DRAFT_7,
        "$id": "https://example.com/unit.json",
        "properties": {"unit": {"$ref": "https://example.com/unit.json#/definitions/Unit"}},
        "required": ["unit"],
        "definitions": {"Unit": {"enum": ["C"]}},
    },
    "$ref at the root": {"$ref": "#/$defs/All", "$defs": {"All": {**UNIT, "type": "object"}, "Unit": {"enum": ["C"]}}},
    "an anchor": {
        "properties": {"unit": {"$ref": "#unit"}},
        "required": ["unit"],
        "$defs": {"a": {"$anchor": "unit", "enum": ["C"]}},
    },
    "draft-04": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "id": "http://example.com/x",
        "properties": {"unit": {"$ref": "#/definitions/Unit"}},
        "required": ["unit"],
        "definitions": {"Unit": {"enum": ["C"]}},
    },
}


@pytest.mark.engine
@pytest.mark.parametrize("name", SCHEMAS)
def test_references_inside_a_tools_parameters_lead_where_its_author_meant(knowing: Server, name: str) -> None:
    # The same names mean something else in the other tool.
    other = with_parameters("other", **UNIT, **{"$defs": {"Unit": {"const": 5}, "All": {"const": 6}}})
    choice = {"type": "function", "function": {"name": "t"}}
    tools = (other, with_parameters("t", **SCHEMAS[name]))
    assert called(knowing, asked(*tools, tool_choice=choice)) == ("t", {"unit": "C"})
    name_called, arguments = called(knowing, asked(*tools, tool_choice="required"))
    assert arguments == {"unit": "C" if name_called == "t" else 5}


@pytest.mark.engine
@pytest.mark.parametrize("head", [DRAFT_7, {}], ids=["draft-07", "no draft"])
def test_items_may_be_a_list_as_in_older_drafts(knowing: Server, head: dict[str, Any]) -> None:
    pair = {"type": "array", "items": [{"const": 1}, {"const": "x"}], "minItems": 2, "additionalItems": False}
    tool = with_parameters("t", **head, properties={"a": pair}, required=["a"])
    assert called(knowing, asked(tool, tool_choice="required")) == ("t", {"a": [1, "x"]})


@pytest.mark.engine
def test_arguments_are_an_object_even_where_a_tool_does_not_say_so(knowing: Server) -> None:
    tool = {"type": "function", "function": {"name": "t", "parameters": {"properties": {"a": {"const": 1}}}}}
    assert isinstance(called(knowing, asked(tool, tool_choice="required"))[1], dict)


@pytest.mark.engine
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_the_tool_at_fault_is_named(knowing: Server, choice: str) -> None:
    bad = with_parameters("bad", properties={"ids": {"type": "array", "uniqueItems": True}})
    response = knowing.post("/v1/chat/completions", asked(WEATHER, bad, tool_choice=choice))
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == "tools.1.function.parameters"
    assert "'bad'" in error["message"]
    assert "at /properties/ids/uniqueItems:" in error["message"]
    assert "get_weather" not in error["message"]


CALL = {"id": "call_1", "type": "function", "function": {"name": "set_light", "arguments": '{"on": true}'}}
ECHOED: dict[str, dict[str, Any]] = {
    "as it was": {},
    "an index": {"index": 0},
    "no type": {"type": None},
    "no id": {"id": None},
    "empty arguments": {"function": {"name": "set_light", "arguments": ""}},
    "no arguments": {"function": {"name": "set_light"}},
    "arguments as an object": {"function": {"name": "set_light", "arguments": {"on": True}}},
    "arguments that were cut": {"function": {"name": "set_light", "arguments": '{"on": true, "room": "kit'}},
    "fields of a client": {"extra_content": {"x": 1}},
}


@pytest.mark.engine
@pytest.mark.parametrize("how", ECHOED)
def test_a_call_comes_back_as_clients_send_it(knowing: Server, how: str) -> None:
    call = {name: each for name, each in {**CALL, **ECHOED[how]}.items() if each is not None}
    result = {"role": "tool", "content": '{"light": "on"}', **({"tool_call_id": "call_1"} if "id" in call else {})}
    talk = [*ASK, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    response = knowing.post("/v1/chat/completions", asked(LIGHT, messages=talk, tool_choice="none", max_tokens=4))
    assert response.status_code == 200, response.text


@pytest.mark.engine
def test_arguments_that_are_no_object_are_refused_at_their_place(knowing: Server) -> None:
    call = {**CALL, "function": {"name": "set_light", "arguments": "[1]"}}
    talk = [*ASK, {"role": "assistant", "tool_calls": [call]}]
    error = knowing.post("/v1/chat/completions", asked(LIGHT, messages=talk)).json()["error"]
    assert error["param"] == "messages.1.tool_calls.0.function.arguments"
    assert "'set_light'" in error["message"]


@pytest.mark.engine
@pytest.mark.parametrize("stop", ["city", "}", "Paris", "get_weather"])
def test_a_stop_string_does_not_cut_a_call(knowing: Server, stop: str) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    _, arguments = called(knowing, asked(WEATHER, tool_choice=choice, stop=[stop]))
    assert set(arguments) == {"city", "days"}


FENCED = '```json\n{\n  "name": "f",\n  "arguments": {\n    "a": "}\\n```"\n  }\n}\n```'


@pytest.mark.parametrize("size", [1, 3, 7, 200])
@pytest.mark.parametrize(
    "text", [FENCED, FENCED.replace("json", ""), '```json\n{"name": "f", "arguments": {"a": "}"}}']
)
def test_a_call_in_a_fence_is_read_however_its_text_is_cut(text: str, size: int) -> None:
    parser = ToolCallParser(frozenset(("f", "foo")))
    deltas = [parser.feed(text[start : start + size]) for start in range(0, len(text), size)]
    deltas.append(parser.end())
    assert not [each for each in deltas if each and "content" in each]
    assert json.loads(parser.call["function"]["arguments"])["a"].startswith("}")
    assert parser.name == "f"


@pytest.mark.parametrize("size", [1, 5, 200])
@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"name": "g", "arguments": {}}\n```',
        '```json\n{"age": 4}\n```',
        "```python\nprint()\n```",
        "`x`",
        "```",
        "```json\n",
        '```json\n{"na',
        '```json\n{"name": "fo',
    ],
)
def test_another_fence_is_text_and_whole(text: str, size: int) -> None:
    parser = ToolCallParser(frozenset(("f", "foo")))
    deltas = [parser.feed(text[start : start + size]) for start in range(0, len(text), size)]
    deltas.append(parser.end())
    assert "".join(each["content"] for each in deltas if each) == text
    assert not parser.name
