"""Tools over real HTTP, on the starter model with a chat template that knows them (its own does not)."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from edgechat.models.gguf.header import read_header
from edgechat.models.store.installed import starter
from edgechat.serve.openai.tool_calls import ToolCallParser
from tests.serve.server import Server

HERMES = (
    "{% if tools %}{{'<|im_start|>system\n'+(tools|tojson)+'<|im_end|>\n'}}{% endif %}{% for m in messages %}"
    "{{'<|im_start|>'+m.role+'\n'+m.content}}{% for c in m.tool_calls %}{{'<tool_call>\n'+(c.function|tojson)}}"
    "{% endfor %}{{'<|im_end|>\n'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)


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
    there = starter()
    assert there is not None
    old = read_header(there.path).chat_template.encode()
    data = there.path.read_bytes()
    assert len(HERMES) <= len(old)
    file = tmp_path_factory.mktemp("tools") / "hermes.gguf"
    file.write_bytes(data.replace(old, HERMES.encode().ljust(len(old))))
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
