"""Whoever asked is told how the engine ended: however late its supervisor writes, and whatever else has died since."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from edgechat.engine.client import client, exit_report
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Recovered, Text
from edgechat.engine.protocol.request import Message, Request
from edgechat.engine.state import exit_reason, log
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgechat.engine.protocol.events import Event
    from edgechat.paths import Paths

ASK = Request((Message("user", "Tell me about the sea."),), sampling={"temperature": 0}, max_tokens=4)
ENDLESS = Request((Message("user", "What is the capital of France?"),), sampling={"temperature": 0}, max_tokens=3000)
"""The starter model never comes to an end with this one: its engine is killed in the middle for certain."""


@pytest.fixture
def stopped(paths: Paths) -> Iterator[None]:
    """No engine is left behind."""
    yield
    client.stop(paths)


def until(events: Iterator[Event], kind: type[Event]) -> Event:
    return next(event for event in events if isinstance(event, kind))


def warden_of(pid: int) -> psutil.Process:
    supervisor = psutil.Process(pid).parent()
    assert supervisor is not None
    return supervisor


@pytest.mark.engine
@pytest.mark.usefixtures("stopped")
def test_a_warden_that_is_slow_is_waited_for(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever only counted seconds would now give up at the first look.
    monkeypatch.setattr(exit_report, "UNWATCHED_TIMEOUT_S", 0.0)
    engine = EngineClient(paths)
    events = engine.generate(ENDLESS)
    until(events, Text)
    until(events, Text)  # the first one still belongs to the prefill
    (status,) = client.status(paths)
    supervisor = warden_of(status["pid"])
    supervisor.send_signal(signal.SIGSTOP)
    os.kill(status["pid"], signal.SIGKILL)
    later = threading.Timer(0.3, supervisor.send_signal, (signal.SIGCONT,))
    later.start()
    try:
        recovered = until(events, Recovered)
    finally:
        later.join()
    assert isinstance(recovered, Recovered)
    assert "killed by SIGKILL (decode)" in recovered.note
    until(events, Text)
    engine.close()


@pytest.mark.engine
@pytest.mark.usefixtures("stopped")
def test_nobody_waits_for_a_warden_that_is_gone(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_report, "WATCHED_TIMEOUT_S", 1e9)
    engine = EngineClient(paths)
    events = engine.generate(ENDLESS)
    until(events, Text)
    (status,) = client.status(paths)
    warden_of(status["pid"]).kill()
    os.kill(status["pid"], signal.SIGKILL)
    recovered = until(events, Recovered)
    assert isinstance(recovered, Recovered)
    assert "vanished without a trace" in recovered.note
    until(events, Text)
    engine.close()


DIES_BEFORE_IT_GREETS = """
import os, sys
from pathlib import Path
from edgechat.engine.protocol import unix_socket
from edgechat.engine.state import exit_reason
state = Path(sys.argv[1])
server = unix_socket.listen(state)
engine = os.fork()
if not engine:
    server.setblocking(True)
    print(flush=True)
    server.accept()[0].recv(1)
    unix_socket.remove(state)
    os.kill(os.getpid(), 9)
server.close()
os.waitpid(engine, 0)
exit_reason.write(state, exit_reason.ExitReason("its own", "signal", "SIGKILL", "idle", 0.0, supervisor=os.getpid()))
"""


@pytest.mark.engine
@pytest.mark.usefixtures("stopped")
def test_an_engine_that_dies_before_it_is_asked_is_spoken_of(paths: Paths) -> None:
    private_directory(paths.state)
    with subprocess.Popen(
        [sys.executable, "-c", DIES_BEFORE_IT_GREETS, str(paths.state)], stdout=subprocess.PIPE
    ) as doomed:
        assert doomed.stdout is not None
        doomed.stdout.readline()
        engine = EngineClient(paths)
        said = [event for event in engine.generate(ASK) if isinstance(event, (Recovered, Done))]
        engine.close()
    assert [type(each) for each in said] == [Recovered, Done]
    assert isinstance(said[0], Recovered)
    assert "killed by SIGKILL (idle). It had not been asked yet" in said[0].note


@pytest.mark.engine
@pytest.mark.usefixtures("stopped")
def test_an_abort_is_an_abort(paths: Paths) -> None:
    """Python's dump of all threads may itself be killed by SIGSEGV, for the others run on while it looks at them."""
    engine = EngineClient(paths)
    events = engine.generate(ENDLESS)
    until(events, Text)
    os.kill(client.status(paths)[0]["pid"], signal.SIGABRT)
    recovered = until(events, Recovered)
    assert isinstance(recovered, Recovered)
    assert "killed by SIGABRT" in recovered.note
    engine.close()
    written = log.path(paths.state).read_text()
    assert "Fatal Python error: Aborted" in written
    assert written.count("(most recent call first)") == 1


def test_a_later_death_does_not_hide_an_earlier_one(tmp_path: Path) -> None:
    first, second = (
        exit_reason.ExitReason(name, "signal", "SIGKILL", "decode", 0.0, supervisor=7) for name in ("first", "second")
    )
    exit_reason.write(tmp_path, first)
    exit_reason.write(tmp_path, second)
    assert exit_reason.read(tmp_path, "first") == first
    assert exit_reason.read(tmp_path, "second") == second


def test_only_the_newest_note_is_found_by_the_number_of_a_warden(tmp_path: Path) -> None:
    """Numbers come again; and none is that of no process."""
    for supervisor in (7, 8):
        exit_reason.write(
            tmp_path,
            exit_reason.ExitReason(f"of {supervisor}", "signal", "SIGKILL", "idle", 0.0, supervisor=supervisor),
        )
    assert exit_reason.read(tmp_path, "", 7) is None
    found = exit_reason.read(tmp_path, "", 8)
    assert found is not None
    assert found.engine == "of 8"
    exit_reason.write(tmp_path, exit_reason.ExitReason("old", "signal", "SIGKILL", "idle", 0.0))
    assert exit_reason.read(tmp_path, "", 0) is None
