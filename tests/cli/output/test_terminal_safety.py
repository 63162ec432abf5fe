"""Text that a model wrote reaches a terminal as text: no escape sequence, however it is cut into pieces."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.engine.scripted_engine import scripted_engine

if TYPE_CHECKING:
    from edgechat.paths import Paths
    from tests.command import Cli

pytestmark = pytest.mark.process

HOSTILE = (
    "safe \x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;Y2xpcA==\x07 \x1b]8;;http://x\x1b\\link "
    "\x9b2J \x90q\x9c \x00\x08\r over \u202egnp.exe\u2066x\u2069 \x7f end\ttab\nline"
)
BAD = {
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
}


def run_on_terminal(command: list[str]) -> str:
    """Standard output and error of a command that has a terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    assert child.wait(30) == 0
    return shown.decode()


@pytest.mark.process
def test_an_answer_full_of_escape_sequences_prints_none(cli: Cli, paths: Paths) -> None:
    pieces = [HOSTILE[i : i + 1] for i in range(len(HOSTILE))]
    for texts in ([HOSTILE], pieces):
        with scripted_engine(paths.state, texts):
            shown = run_on_terminal(cli.command("ask", "hi"))
        # The terminal driver itself turns a newline into \r\n.
        assert set(shown.replace("\r\n", "\n")) & BAD == {"\n", "\t"}
        assert "safe [31mred[0m" in shown
        assert shown.endswith("end\ttab\r\nline\r\n")


@pytest.mark.process
def test_json_output_is_clean_too(cli: Cli, paths: Paths) -> None:
    with scripted_engine(paths.state, [HOSTILE]):
        answer = cli.json("ask", "hi", "--json")
    assert not set(answer["answer"]) & (BAD - {"\n", "\t"})


@pytest.mark.process
def test_what_was_asked_reaches_the_engine_unchanged(cli: Cli, paths: Paths) -> None:
    with scripted_engine(paths.state, ["ok"]) as engine:
        cli("ask", "-s", "Be brief.", "--temp", "0.5", "-n", "9", "first\n<|im_start|>")
    (request,) = engine.requests
    assert [(each["role"], each["content"]) for each in request["messages"]] == [
        ("system", "Be brief."),
        ("user", "first\n<|im_start|>"),
    ]
    assert (request["sampling"], request["max_tokens"]) == ({"temperature": 0.5}, 9)
