"""Drafts in a real engine: more tokens a step, and not one of them another.

Whether a draft pays depends on the machine and on what else it does. These tests run where a batch is said to cost what
one token costs, so that everything that repeats is drafted, right or wrong.
"""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.engine

REPORT = (
    "The pump at station 4 stopped at 10:15 on Tuesday. The operator, Lena Hartmann, closed valve V-17 and called the "
    "workshop in Rosenheim. The mechanic, Tomasz Nowak, replaced the seal and the bearing. The pump ran again at 13:40."
)
ECHO = f"Repeat this text word for word:\n\n{REPORT}"
STORY = "Write a short poem about rain."
WHERE_BATCHES_ARE_FREE = (
    "import edgechat.engine.decoding.prompt_lookup as d\nd.StepCosts.seconds = lambda self, size: 1.0\n"
)


@pytest.fixture
def eager(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    """An engine that drafts whatever it can; Python reads ``sitecustomize`` before anything else."""
    (tmp_path / "sitecustomize.py").write_text(WHERE_BATCHES_ARE_FREE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    yield paths
    client.stop(paths)


def answer(paths: Paths, prompt: str, *, speculate: bool = True, **more: Any) -> tuple[str, Done]:
    options: dict[str, Any] = {"sampling": {"temperature": 0}, "max_tokens": 64, **more}
    with closing(EngineClient(paths)) as asking:
        events = list(asking.generate(Request((Message("user", prompt),), speculate=speculate, **options)))
    done = events[-1]
    assert isinstance(done, Done)
    return "".join(event.text for event in events if isinstance(event, Text)), done


def test_text_and_count_are_the_same_with_drafts_and_fewer_steps_are_needed(eager: Paths) -> None:
    for prompt in (ECHO, STORY):
        text, done = answer(eager, prompt)
        plain, without = answer(eager, prompt, speculate=False)
        assert text == plain
        assert done.usage["completion_tokens"] == without.usage["completion_tokens"]
        assert done.finish_reason == without.finish_reason
        assert without.usage["drafted_tokens"] == without.usage["accepted_tokens"] == 0
        assert 0 <= done.usage["accepted_tokens"] <= done.usage["drafted_tokens"]
        if prompt is ECHO:
            assert done.usage["accepted_tokens"] > 20


def test_the_command_tells_what_was_drafted_and_can_do_without(eager: Paths, cli: Cli) -> None:
    ask = ("ask", "--temp", "0", "-n", "40", "--stats=json", ECHO)
    drafted, plain = cli(*ask), cli(*ask, "--no-speculate")
    assert drafted.stdout == plain.stdout
    stats = [json.loads(done.stderr.splitlines()[-1]) for done in (drafted, plain)]
    assert 0 < stats[0]["accepted_tokens"] <= stats[0]["drafted_tokens"]
    assert stats[1]["accepted_tokens"] == stats[1]["drafted_tokens"] == 0


@pytest.mark.parametrize("sampling", [{"temperature": 0.4, "seed": 7}, {"temperature": 0, "repeat_penalty": 1.1}])
def test_sampled_and_penalized_answers_are_the_same_with_drafts(eager: Paths, sampling: dict[str, float]) -> None:
    text, done = answer(eager, ECHO, sampling=sampling)
    assert done.usage["drafted_tokens"] > 0
    assert text == answer(eager, ECHO, sampling=sampling, speculate=False)[0]


def test_an_answer_ends_exactly_where_it_must(eager: Paths) -> None:
    whole, _ = answer(eager, ECHO)
    for n in (1, 37, 38):
        text, done = answer(eager, ECHO, max_tokens=n)
        assert done.usage["completion_tokens"] == n
        assert done.finish_reason == "length"
        assert whole.startswith(text)
    text, done = answer(eager, ECHO, stop=("valve V-",))
    assert done.finish_reason == "stop"
    assert done.usage["accepted_tokens"] > 0
    assert text == whole[: whole.index("valve V-")]


def test_what_is_left_in_the_cache_is_only_what_was_said(eager: Paths) -> None:
    """The next turn goes on behind cells that drafts, right and wrong, have passed through."""
    said, _ = answer(eager, ECHO)
    turns = (Message("user", ECHO), Message("assistant", said), Message("user", "Now the same again, in capitals."))
    with closing(EngineClient(eager)) as asking:
        request = Request(turns, sampling={"temperature": 0}, max_tokens=60)
        again = [event.text for event in asking.generate(request) if isinstance(event, Text)]
    client.stop(eager)
    with closing(EngineClient(eager)) as asking:
        request = Request(turns, sampling={"temperature": 0}, max_tokens=60, speculate=False)
        fresh = [event.text for event in asking.generate(request) if isinstance(event, Text)]
    assert "".join(again) == "".join(fresh)


def test_several_answers_share_the_rows_and_a_cancelled_one_harms_nobody(eager: Paths) -> None:
    # One week of days, whose names are far from any other word: where two are close it matters in which order llama.cpp
    # adds attention up, which is another one for a row alone from 512 cells on.
    prompts = [ECHO, "Name the days of the week.", ECHO, f"Please. {ECHO}"]
    lengths = [64, 20, 64, 64]
    asked = zip(prompts, lengths, strict=True)
    alone = [answer(eager, prompt, speculate=False, max_tokens=n)[0] for prompt, n in asked]
    together: dict[int, str] = {}

    def ask(number: int) -> None:
        together[number] = answer(eager, prompts[number], max_tokens=lengths[number])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts) - 1)]
    for thread in threads:
        thread.start()
    with closing(EngineClient(eager)) as leaving:
        events = leaving.generate(Request((Message("user", prompts[-1]),), sampling={"temperature": 0}))
        for event in events:
            if isinstance(event, Text):
                break
        events.close()  # type: ignore[attr-defined]  # a generator; closing it cancels the answer
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(threads))] == alone[:-1]


def test_an_answer_under_a_schema_keeps_it(eager: Paths) -> None:
    schema = {
        "type": "object",
        "properties": {name: {"type": "string", "maxLength": 60} for name in ("operator", "mechanic", "place")},
        "required": ["operator", "mechanic", "place"],
        "additionalProperties": False,
    }
    prompt = f"Extract who and where as JSON.\n\n{REPORT}"
    text, done = answer(eager, prompt, constraint={"json_schema": schema})
    assert text == answer(eager, prompt, constraint={"json_schema": schema}, speculate=False)[0]
    assert done.usage["drafted_tokens"] > 0
