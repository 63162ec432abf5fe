"""A request outlives deaths of memory as long as each leaves only smaller plans; any other death it outlives once."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.events import Event, Recovered, Text, to_frame
from edgechat.engine.protocol.framing import encode
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.state import exit_reason
from edgechat.errors import EngineError
from edgechat.paths import Paths, private_directory
from tests.engine.scripted_engine import DONE, STARTED, ScriptedEngine

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path


class MortalEngine(ScriptedEngine):
    """Says one word and dies, as often as it has notes to leave behind; then it answers."""

    def __init__(self, server: socket.socket, state: Path, notes: list[tuple[str, int]]) -> None:
        super().__init__(server, (), 0.0)
        self.state, self.notes = state, notes

    def _answer(self, peer: socket.socket, request_id: int) -> None:
        peer.sendall(encode(to_frame(STARTED, request_id)))
        peer.sendall(encode(to_frame(Text("word ", (len(self.requests),)), request_id)))
        if not self.notes:
            peer.sendall(encode(to_frame(DONE, request_id)))
            return
        cause, below = self.notes.pop(0)
        exit_reason.write(self.state, exit_reason.ExitReason("scripted", cause, "why", "decode", time.time(), below))
        peer.shutdown(2)


@contextlib.contextmanager
def mortal(state: Path, notes: list[tuple[str, int]]) -> Iterator[MortalEngine]:
    private_directory(state)
    server = unix_socket.listen(state)
    engine = MortalEngine(server, state, notes)
    engine.start()
    try:
        yield engine
    finally:
        unix_socket.remove(state)
        with contextlib.suppress(OSError):
            server.shutdown(2)
        server.close()
        engine.join(5)


def ask(paths: Paths, into: list[Event]) -> None:
    engine = EngineClient(paths)
    with contextlib.closing(engine):
        into.extend(engine.generate(Request((Message("user", "hi"),))))


@pytest.fixture
def paths(home: Path) -> Paths:
    return Paths.from_env({"EDGECHAT_HOME": str(home)})


@pytest.mark.parametrize(
    "notes",
    [
        [("oom", 900), ("oom", 700), ("oom", 500), ("oom", 300)],
        [("oom", 900), ("signal", 0), ("oom", 700)],
        [("oom", 0)],
        [("signal", 0)],
    ],
)
def test_smaller_plans_are_tried_and_the_answer_goes_on(paths, notes):
    events: list[Event] = []
    n_deaths = len(notes)
    with mortal(paths.state, list(notes)) as engine:
        ask(paths, events)
    assert [request["resume"] for request in engine.requests] == [list(range(1, n + 1)) for n in range(n_deaths + 1)]
    told = [event.note for event in events if isinstance(event, Recovered)]
    assert len(told) == n_deaths
    for note, (_, below) in zip(told, notes, strict=True):
        assert note.endswith("A smaller plan is tried." if below else "It was restarted and continued.")


@pytest.mark.parametrize(
    "notes",
    [
        [("signal", 0), ("signal", 0)],
        [("oom", 0), ("oom", 0)],
        # Nothing got smaller: the same request killed again, whatever the note says.
        [("oom", 900), ("oom", 900), ("oom", 900)],
        [("oom", 900), ("assert", 0), ("oom", 950)],
    ],
)
def test_the_same_request_is_not_tried_for_ever(paths, notes):
    events: list[Event] = []
    with mortal(paths.state, [*notes, *notes]) as engine, pytest.raises(EngineError, match="again") as raised:
        ask(paths, events)
    assert raised.value.exit_code == 6
    assert len(engine.requests) == len(notes)
