"""An answer without a text is no success; one that the request itself ended at once is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgechat.engine.client.resume import PartialAnswer
from edgechat.engine.protocol.events import Text
from edgechat.engine.protocol.request import Message, Request
from tests.engine.scripted_engine import scripted_engine

pytestmark = pytest.mark.engine

HI = Request((Message("user", "hi"),))


@pytest.mark.parametrize(
    ("request_", "texts", "is_missing"),
    [
        (HI, [], True),
        (HI, [Text(" \n", (1,))], True),
        (HI, [Text("thinking", (1,), is_thought=True)], True),
        (HI, [Text("Hello", (1,))], False),
        (replace(HI, stop=("Hello",)), [], False),
        (replace(HI, constraint={"json_schema": {"type": "object"}}), [], False),
        (replace(HI, resume_text="Hel", resume=(1,)), [], False),
    ],
    ids=["nothing", "spaces", "a thought only", "text", "stop string", "schema", "continued"],
)
def test_what_counts_as_an_answer(request_: Request, texts: list[Text], is_missing: bool) -> None:
    answer = PartialAnswer(request_)
    for each in texts:
        answer.add(each)
    assert answer.is_missing == is_missing


def test_ask_says_that_there_is_no_answer(paths, cli) -> None:
    """An empty answer ended with exit code 0."""
    with scripted_engine(paths.state, []):
        done = cli("ask", "hi")
        as_json = cli("ask", "--json", "hi")
    assert (done.returncode, done.stdout) == (5, "")
    assert "without any text" in done.stderr
    assert (as_json.returncode, json.loads(as_json.stdout)["finish_reason"]) == (5, "empty")
