"""An answer goes on after the engine process died; Ctrl-C ends the answer at once and nothing else."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.client import client

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.engine

KILLERS = [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL]
LONG = "word " * 1200  # keeps the starter model reading for seconds
ENDLESS = ("ask", "What is the capital of France?", "--temp", "0", "-n", "3000")
"""Greedily decoded, the starter model never comes to an end with this one."""
ASK = ("ask", "Tell me about the sea.", "--temp", "0", "-n", "160")


def kill_at(paths: Paths, stage: str, number: int) -> int:
    """Send a signal to the engine once it is in a stage; returns its process id."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for engine in client.status(paths):
            if engine["stage"] == stage:
                os.kill(engine["pid"], number)
                return int(engine["pid"])
        time.sleep(0.001)
    pytest.fail(f"the engine was never in {stage}")


def finish(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=90)
    return child.returncode, out, err


@pytest.mark.parametrize("number", KILLERS, ids=lambda n: n.name)
@pytest.mark.parametrize("stage", ["load", "prefill", "decode"])
def test_the_answer_goes_on_after_the_engine_dies(cli: Cli, paths: Paths, stage: str, number: signal.Signals) -> None:
    # To the long prompt the starter would end its answer at once. Between these two words its choice is clear: what is
    # read again after a death is read in other pieces, whose rounding would decide between two that are as likely.
    ask = ASK if stage != "prefill" else ("ask", LONG, "--temp", "0", "-n", "20", "--text", "word( (word|zebra)){4}")
    if stage == "decode":
        cli("ask", "-n", "1", "hi")
    child = cli.popen(*ask)
    pid = kill_at(paths, stage, number)
    code, out, err = finish(child)
    assert code == 0, err
    assert out.strip()
    assert f"killed by {number.name}" in err
    assert stage in err
    assert err.count("It was restarted and continued") == 1
    # Nothing lost, nothing repeated: greedy decoding gives the text that no death interrupted.
    assert out == cli(*ask).stdout
    (engine,) = client.status(paths)
    assert engine["pid"] != pid


@pytest.mark.parametrize("number", KILLERS, ids=lambda n: n.name)
def test_a_death_while_idle_is_not_even_noticed(cli: Cli, paths: Paths, number: signal.Signals) -> None:
    cli("ask", "-n", "1", "hi")
    kill_at(paths, "idle", number)
    done = cli("ask", "-n", "1", "hi")
    assert done.returncode == 0
    assert "restarted" not in done.stderr


def test_a_request_that_kills_twice_is_not_tried_again(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    child = cli.popen(*ENDLESS)
    first = kill_at(paths, "decode", signal.SIGKILL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        engines = client.status(paths)
        if engines and engines[0]["pid"] != first and engines[0]["stage"] == "decode":
            os.kill(engines[0]["pid"], signal.SIGKILL)
            break
        time.sleep(0.005)
    code, out, err = finish(child)
    assert code == 6
    assert out.strip(), "the partial answer is printed"
    assert "killed by SIGKILL again" in err
    assert cli("ask", "-n", "1", "hi").returncode == 0


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["load", "prefill", "decode"])
def test_an_interrupted_ask_returns_at_once_and_the_next_is_right(
    cli: Cli, paths: Paths, stage: str, number: int, expected: int
) -> None:
    reference = cli("ask", "Name a river.", "--temp", "0", "-n", "12").stdout
    _wait_for(lambda: client.status(paths)[0]["stage"] == "idle")
    if stage == "load":
        cli("stop")
    child = cli.popen(*(("ask", LONG) if stage == "prefill" else ENDLESS))
    _wait_for(lambda: any(engine["stage"] == stage for engine in client.status(paths)))
    child.send_signal(number)
    code, _, err = finish(child)
    assert code == expected
    assert "Traceback" not in err
    assert cli("ask", "Name a river.", "--temp", "0", "-n", "12").stdout == reference
    # The slot of the answer that nobody waits for is free again.
    _wait_for(lambda: client.status(paths)[0]["running"] == 0)


def test_stopping_the_engine_ends_the_answer_with_its_reason(cli: Cli, paths: Paths) -> None:
    cli("ask", "-n", "1", "hi")
    child = cli.popen(*ENDLESS)
    _wait_for(lambda: client.status(paths)[0]["stage"] == "decode")
    time.sleep(0.3)
    cli("stop")
    code, out, err = finish(child)
    assert code == 6
    assert out.strip()
    assert "was stopped" in err


def test_prompts_around_the_context_size(cli: Cli, paths: Paths) -> None:
    def words(n: int) -> str:
        return "a " * n

    def prompt_tokens(n: int) -> int:
        answer = cli.json("ask", words(n), "--ctx", "512", "-n", "1", "--json")
        return int(answer["usage"]["prompt_tokens"])

    n_ctx = 512
    overhead = prompt_tokens(100) - 100
    assert client.status(paths)[0]["n_ctx"] == n_ctx
    # One token fits; without the expression, the starter uses it to end the answer.
    fits = cli.json("ask", words(n_ctx - 1 - overhead), "--ctx", "512", "--json", "--text", "(yes|no)")
    assert (fits["usage"]["prompt_tokens"], fits["usage"]["completion_tokens"]) == (n_ctx - 1, 1)
    assert fits["answer"] in {"yes", "no"}
    for n in (n_ctx, n_ctx + 1, 10 * n_ctx):
        done = cli("ask", words(n - overhead), "--ctx", "512")
        assert done.returncode == 4
        assert f"The prompt is {n} tokens; the context holds {n_ctx}" in done.stderr
        assert done.stdout == ""


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.002)
    pytest.fail("it did not happen in time")
