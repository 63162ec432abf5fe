"""A constraint that fails on the way ends its own answer by name: never as a whole one, and never the engine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message, Request
from edgechat.errors import AnswerError, EdgechatError, InvalidInputError

if TYPE_CHECKING:
    from edgechat.engine.protocol.events import Event
    from edgechat.paths import Paths
    from tests.command import Cli

TOO_MUCH = "(.*a.{100}.*e.{100}.*)+Z"
"""More states than llguidance's lexer may have, once some hundred letters have come."""


@pytest.mark.process
def test_a_matcher_that_failed_says_so_to_whoever_asks_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.text.constraint_child"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    for asked in ("choose", "mask", "forced", "end"):
        kind, message = report[asked]
        assert kind == "AnswerError", asked
        assert "lexer error" in message
    assert report["complete"] is False  # though llguidance calls it stopped
    assert report["possible"] == []
    assert report["take"][0] == report["end_of_half"][0] == "AnswerError"
    assert report["end_of_whole"] is None
    assert report["resumed"][0] == "InvalidInputError"
    assert report["resumed_well"] is None


def asked(paths: Paths, **options: Any) -> list[Event]:
    request = Request((Message("user", "Count."),), sampling={"temperature": 0}, max_tokens=1000, **options)
    with closing(EngineClient(paths)) as asking:
        return list(asking.generate(request))


@pytest.mark.engine
def test_the_other_answers_and_the_engine_go_on(cli: Cli, paths: Paths) -> None:
    plain = "What is the capital of France?"  # greedily, the starter finds no end to this one
    alone = cli("ask", plain, "--temp", "0", "-n", "60").stdout
    pid = client.status(paths)[0]["pid"]
    beside: list[Event] = []
    has_begun = threading.Event()

    def ask() -> None:
        request = Request((Message("user", plain),), sampling={"temperature": 0}, max_tokens=60)
        with closing(EngineClient(paths)) as asking:
            for event in asking.generate(request):
                beside.append(event)
                if isinstance(event, Text):
                    has_begun.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert has_begun.wait(60)  # prompts that are read together round otherwise than each alone
    errors: list[EdgechatError] = []
    for options in (
        {"constraint": {"regex": TOO_MUCH}, "resume_text": "ae" * 250},
        {"constraint": {"regex": "[0-9]+"}, "resume_text": "12a"},
    ):
        # Another model began it, so that the text is enough.
        with pytest.raises(EdgechatError) as caught:
            asked(paths, resume=(1,), resume_model="another", **options)
        errors.append(caught.value)
    thread.join()

    assert type(errors[0]) is AnswerError
    assert type(errors[1]) is InvalidInputError
    assert "".join(each.text for each in beside if isinstance(each, Text)).strip() == alone.strip()
    assert isinstance(beside[-1], Done)
    (engine,) = client.status(paths)
    assert (engine["pid"], engine["running"]) == (pid, 0)
