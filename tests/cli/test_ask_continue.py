"""``edgechat ask -c`` on the real engine and the real starter model."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.chat.history import History, history_file
from edgechat.chat.turn import PromptMessages, Turn
from edgechat.engine.client import client
from edgechat.engine.protocol.conversation_trimming import MARK
from edgechat.engine.protocol.events import Started, Trimmed
from edgechat.engine.protocol.request import Request, Wish
from edgechat.errors import ExitCode
from tests.project.test_imports import HEAVY, SLOW, run

if TYPE_CHECKING:
    from subprocess import Popen

    from edgechat.chat.conversation import Message
    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.engine

LONG = ("--temp", "0", "-n", "3000", "What is the capital of France?")
"""Greedily decoded, the starter model never comes to an end with this one."""


def kept(paths: Paths, number: int = 1) -> list[Message]:
    with History.open(paths) as history:
        return history.messages(number)


def prompt_tokens(cli: Cli, *arguments: str) -> int:
    usage: dict[str, Any] = cli.json("ask", "--json", "--temp", "0", "-n", "8", *arguments)["usage"]
    return int(usage["prompt_tokens"])


def test_it_continues_with_the_whole_conversation(cli: Cli, paths: Paths) -> None:
    first = cli("ask", "-c", "--temp", "0", "-n", "12", "Name one color.")
    assert first.returncode == 0, first.stderr
    question, answer = kept(paths)
    assert question.content == "Name one color."
    assert answer.content == first.stdout.rstrip("\n")
    assert (answer.status, answer.model, answer.quant) == ("complete", "smollm2-135m-instruct", "Q4_1")
    assert answer.usage["completion_tokens"] > 0
    alone = prompt_tokens(cli, "And another?")
    assert len(kept(paths)) == 2, "without -c nothing is kept"
    assert prompt_tokens(cli, "-c", "And another?") > alone
    assert [each.role for each in kept(paths)] == ["user", "assistant"] * 2
    assert prompt_tokens(cli, "-c", "--new", "And another?") == alone
    assert len(kept(paths, 2)) == 2
    assert cli("ask", "--new", "x").returncode == ExitCode.USAGE


def test_without_c_neither_the_file_nor_sqlite3_is_touched(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    imported, answer = run("ask", "-n", "2", "hi")
    assert answer.strip()
    assert not {name for name in imported if "sqlite" in name or name.startswith("edgechat.chat")}
    assert not history_file(paths).parent.exists()
    imported, _ = run("ask", "-c", "-n", "2", "hi")
    assert "sqlite3" in imported
    assert imported & (HEAVY | SLOW) == set()


def wait_for_text(child: Popen[str]) -> str:
    assert child.stdout is not None
    return os.read(child.stdout.fileno(), 1000).decode()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_interrupted_it_keeps_what_was_shown(cli: Cli, paths: Paths, number: int, code: int) -> None:
    child = cli.popen("ask", "-c", *LONG)
    shown = wait_for_text(child)
    time.sleep(0.3)
    child.send_signal(number)
    rest, said = child.communicate(timeout=60)
    assert child.returncode == code, said
    answer = kept(paths)[1]
    assert (answer.status, answer.finish_reason) == ("partial", "interrupted")
    assert answer.content == (shown + rest).rstrip("\n")
    assert prompt_tokens(cli, "-c", "Go on.") > 20


def test_killed_it_keeps_the_question_and_most_of_the_answer(cli: Cli, paths: Paths) -> None:
    child = cli.popen("ask", "-c", *LONG)
    wait_for_text(child)
    time.sleep(2.5)
    child.kill()
    child.communicate(timeout=60)
    question, answer = kept(paths)
    assert question.content == LONG[-1]
    assert answer.status == "partial"
    assert len(answer.content) > 20


def test_an_engine_that_is_stopped_leaves_the_partial_answer(cli: Cli, paths: Paths) -> None:
    child = cli.popen("ask", "-c", *LONG)
    shown = wait_for_text(child)
    time.sleep(0.3)
    client.stop(paths)
    rest, said = child.communicate(timeout=60)
    assert child.returncode == ExitCode.ENGINE, said
    answer = kept(paths)[1]
    assert answer.status == "partial"
    assert answer.content == (shown + rest).rstrip("\n")


def test_a_time_limit_leaves_a_partial_answer(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    done = cli("ask", "-c", "--timeout", "2", *LONG)
    assert done.returncode == ExitCode.ANSWER
    answer = kept(paths)[1]
    assert answer.status == "partial"
    assert answer.content == done.stdout.rstrip("\n")


def test_refused_is_what_no_longer_fits_where_that_is_wanted(cli: Cli, paths: Paths) -> None:
    # The expression makes the starter say something: to such a prompt it otherwise ends its answer at once.
    small = ("--ctx", "512", "-n", "4", "--overflow", "refuse", "--text", "(yes|no)")
    assert cli("ask", "-c", *small, "Read: " + "word " * 300).returncode == 0
    before = kept(paths)
    done = cli("ask", "-c", *small, "Now this: " + "thing " * 300)
    assert done.returncode == ExitCode.INVALID_INPUT
    assert "the context holds 512" in done.stderr
    assert re.search(r"The prompt is (6|7)\d\d tokens", done.stderr)
    assert "edgechat ask -c --new" in done.stderr
    assert "--ctx" in done.stderr
    assert kept(paths) == before
    assert cli("ask", "-c", *small, "Short.").returncode == 0


@dataclass(frozen=True)
class Said:
    """What came of one question."""

    unread: int
    summary: str
    prompt: int
    cached: int


def say(paths: Paths, text: str, overflow: str) -> Said:
    """One turn of a kept conversation as ``ask -c --ctx 256`` takes it, without a process of its own."""
    history = History.open(paths)
    trimmed, started = None, None
    with (
        closing(client.EngineClient(paths)) as engine,
        Turn.begin(history, text, system="Answer with one word.", default_system="", is_new=False) as turn,
    ):
        wish = Wish(n_ctx=256)
        request = Request(
            turn.messages(wish.n_ctx), wish, {"temperature": 0}, 8, overflow=overflow, keep=turn.cache_name
        )
        for event in turn.record(engine.generate(request)):
            if isinstance(event, Trimmed):
                trimmed = event
            elif isinstance(event, Started):
                started = event
    assert started is not None
    unread, summary = (trimmed.messages, trimmed.summary) if trimmed else (0, "")
    return Said(unread, summary, started.prompt_tokens, started.cached_tokens)


def test_a_long_conversation_never_fails_and_says_what_is_no_longer_read(cli: Cli, paths: Paths) -> None:
    said = [say(paths, f"Ticket {turn}: {'the pump is red, ' * 5}", "trim") for turn in range(11)]
    unread = [each.unread for each in said]
    trims = [turn for turn in range(1, 11) if unread[turn] > unread[turn - 1]]
    assert len(trims) >= 2
    assert unread == sorted(unread)
    # A trim leaves a quarter of the context free, so that the turns behind it find their beginning in the cache.
    assert all(said[turn].prompt <= 256 - 8 - 64 for turn in trims)
    assert all(said[turn].cached > said[turn - 1].prompt for turn in range(1, 11) if turn not in trims)
    assert len(kept(paths)) == 22, "all of it stays in the history"
    with History.open(paths) as history:
        messages = PromptMessages.of(history, history.conversation(1)).messages
    assert messages[0].content == "Answer with one word."
    assert messages[1].role == "user"
    assert messages[-2].content.startswith("Ticket 10: ")

    done = cli("ask", "-c", "--json", "--ctx", "256", "-n", "8", "And now?")
    answer = json.loads(done.stdout)
    assert answer["unread_messages"] >= unread[-1]
    told = (
        f"{answer['unread_messages']} earlier messages are no longer read by the model: the context holds 256 tokens."
    )
    assert told in done.stderr
    whole = cli.json("ask", "-c", "--json", "--ctx", "2048", "-n", "8", "And now?")
    assert whole["usage"]["prompt_tokens"] > 512, "a larger context reads all of it"
    assert whole["unread_messages"] == 0


def test_a_summary_stands_for_what_is_no_longer_read(cli: Cli, paths: Paths) -> None:
    assert cli("ask", "-n", "1", "--ctx", "256", "hi").returncode == 0
    said = [say(paths, f"Ticket {turn}: {'the pump is red, ' * 7}", "summarize") for turn in range(5)]
    assert said[0].summary == ""
    summary = said[-1].summary
    assert summary
    with History.open(paths) as history:
        messages = PromptMessages.of(history, history.conversation(1)).messages
        assert messages[1].content.startswith(f"{MARK}\n{summary}\n\nTicket ")
        assert all(MARK not in each.content for each in history.messages(1)), "nobody said it"


def test_without_a_model_nothing_is_left_of_it(cli: Cli) -> None:
    assert cli("ask", "-c", "-m", "no-such-model", "hi").returncode == ExitCode.NO_MODEL
    assert cli.json("history", "list", "--json") == []


def test_a_schema_and_the_envelope_go_with_it(cli: Cli, paths: Paths) -> None:
    schema = '{"type": "object", "properties": {"color": {"enum": ["red", "blue"]}}, "required": ["color"]}'
    done = cli("ask", "-c", "--schema", schema, "Which color?")
    assert done.returncode == 0, done.stderr
    assert json.loads(kept(paths)[1].content) == json.loads(done.stdout)
