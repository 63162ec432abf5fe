"""Answers that may be a tool call: what the grammar allows, and where stop strings count."""

import json
import subprocess
import sys
from typing import Any

import pytest

from edgechat.engine.text.detokenizer import Detokenizer
from edgechat.engine.text.tool_call import unstopped

pytestmark = pytest.mark.process


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": arguments, "required": list(arguments), "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": {"$id": f"tool:{name}", **parameters}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


UNIT = {"$ref": "#/$defs/Unit"}
WEATHER = tool("get_weather", city={"type": "string"})
LIGHT = tool("set_light", on={"type": "boolean"})
CONSTRAINT = {"tool_call": {"anyOf": [WEATHER, LIGHT]}}
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
LINES = '{\n  "name": "get_weather",\n  "arguments": {\n    "city": "Paris"\n  }\n}'

WHOLE = [
    "Hello {x}",
    CALL,
    f"<tool_call>\n{CALL}\n</tool_call>",
    f"```json\n{CALL}\n```",
    f"```json\n{LINES}\n```",
    f"```\n{LINES}\n```",
    "```python\nprint()\n```",
    '```json\n{"name": "John", "age": 4}\n```',
    '```json\n{"name": "set_lights", "x": 4}\n```',
    '```json\n{"age": 4}\n```\nThat is all.',
]
CUT = {
    '```json\n{"name": "get_weather", "arguments": {"city": 5}}': "5}}",
    '```json\n{"name": "set_light", "arguments": {"city": "x"}}': 'city": "x"}}',
    '```json\n{"name": "set_light"}': "}",
    f"```json\n{CALL}\n```\nDone": "\nDone",
    '{"name": "nope"': 'nope"',
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[Any]]:
    texts = [*WHOLE, *CUT]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.text.grammar_child"],
        input=json.dumps({"constraint": CONSTRAINT, "texts": texts}),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(texts, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("text", WHOLE)
def test_text_and_calls_of_offered_tools_are_answers(outcomes: dict[str, list[Any]], text: str) -> None:
    assert outcomes[text] == [len(text), True]


@pytest.mark.parametrize("text", CUT)
def test_what_begins_a_call_must_be_one_to_its_end(outcomes: dict[str, list[Any]], text: str) -> None:
    assert text[outcomes[text][0] :] == CUT[text]


def read(text: str, stop: str, constraint: dict[str, Any] | None, size: int) -> tuple[str, bool]:
    detokenizer = Detokenizer((stop,), unstopped=unstopped(constraint))
    data = text.encode()
    pieces = [each for at in range(0, len(data), size) for each in detokenizer.feed(data[at : at + size])]
    pieces += detokenizer.finish()
    return "".join(each.text for each in pieces if not each.is_thought), detokenizer.is_stopped


@pytest.mark.parametrize("size", [1, 4, 500])
@pytest.mark.parametrize(
    "text", [CALL, f"<tool_call>\n{CALL}\n</tool_call>", f"```json\n{LINES}\n```", f"<think>Paris?</think>\n\n{CALL}"]
)
def test_a_stop_string_inside_a_call_does_not_end_it(text: str, size: int) -> None:
    assert read(text, "Paris", CONSTRAINT, size) == (text.partition("</think>\n\n")[2] or text, False)


@pytest.mark.parametrize("size", [1, 4, 500])
@pytest.mark.parametrize("constraint", [CONSTRAINT, None, {"regex": ".*"}], ids=str)
def test_it_ends_text_as_before(constraint: dict[str, Any] | None, size: int) -> None:
    assert read("In Paris it rains.", "Paris", constraint, size) == ("In ", True)
    assert read('```json\n{"name": "John", "city": "Paris"}', "Paris", constraint, size) == (
        '```json\n{"name": "John", "city": "',
        True,
    )
    assert read("<think>Paris</think>no Paris", "Paris", constraint, size) == ("no ", True)


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("constraint", [{"json_schema": {}}, {"choices": ["Paris"]}], ids=str)
def test_where_the_whole_answer_is_a_value_it_never_counts(constraint: dict[str, Any], size: int) -> None:
    assert read('"Paris"', "Paris", constraint, size) == ('"Paris"', False)
