"""The machine's own engine, used by other users through a socket of its group; who is who is all that is pretended."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from edgechat.engine.client import client
from edgechat.engine.client.client import EngineClient
from edgechat.engine.client.connection import EngineConnection, EngineGoneError
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.events import Done, Event, Started
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.models.store.installed import starter
from edgechat.paths import SHARED, Paths

pytestmark = pytest.mark.engine

HI = Request((Message("user", "Say hi."),), max_tokens=3, sampling={"temperature": 0.0})


def ask(guest: Paths, request: Request = HI) -> list[Event]:
    with contextlib.closing(EngineClient(guest)) as asking:
        return list(asking.generate(request))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Paths of another user, on a machine whose service has an engine for its group."""
    run = tmp_path / "run"
    run.mkdir(mode=0o750)
    owner = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "service"), "EDGECHAT_SHARED": str(run)})
    env = {**os.environ, "EDGECHAT_HOME": str(tmp_path / "service"), "EDGECHAT_SHARED": str(run)}
    subprocess.run([sys.executable, "-m", "edgechat", "ask", "-n", "1", "Hi"], env=env, check=True, capture_output=True)
    myself = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: myself + 1)
    guest = Paths.from_env({"EDGECHAT_HOME": str(tmp_path / "guest"), "EDGECHAT_SHARED": str(run)})
    # Of an engine that the guest starts; it would own the shared directory, since only this process pretends.
    monkeypatch.setenv("EDGECHAT_HOME", str(tmp_path / "guest"))
    monkeypatch.delenv("EDGECHAT_SHARED", raising=False)
    yield replace(owner, shared=None), guest
    client.stop(guest)
    monkeypatch.setattr(os, "geteuid", lambda: myself)
    client.stop(owner)


def test_another_users_client_takes_the_machines_engine_first(machine):
    owner, guest = machine
    (engine,) = client.status(owner)
    assert stat.S_IMODE((guest.shared / "engine.sock").stat().st_mode) == 0o660
    assert isinstance(ask(guest)[-1], Done)
    assert not guest.state.exists(), "an engine of its own was started"
    assert [each["pid"] for each in client.status(guest)] == [engine["pid"]]


def test_a_guest_can_neither_stop_it_nor_change_how_long_it_stays(machine):
    owner, guest = machine
    before = client.status(owner)[0]
    assert client.stop(guest) == []
    for frame in ({"type": "stop"}, {"type": "retire"}, {"type": "keep", "seconds": 0}):
        peer = unix_socket.connect_shared(guest.shared)
        assert peer is not None
        with contextlib.closing(EngineConnection(peer, keeps=False)) as link:
            link.send(frame)
            with pytest.raises(EngineGoneError):
                link.receive(timeout_s=20)
    with contextlib.closing(EngineClient(guest, keep_alive_s=0)) as asking:
        assert isinstance(list(asking.generate(HI))[-1], Done)
    after = client.status(owner)[0]
    assert (after["pid"], after["keep_alive_s"]) == (before["pid"], before["keep_alive_s"])


def test_a_guest_who_wants_what_it_does_not_have_gets_an_engine_of_its_own(machine, tmp_path):
    owner, guest = machine
    (engine,) = client.status(owner)
    there = starter()
    assert there is not None
    mine = shutil.copy(there.path, tmp_path / "mine.gguf")
    events = ask(guest, Request(HI.messages, wish=Wish(model=str(mine)), max_tokens=2))
    assert next(each for each in events if isinstance(each, Started)).model == "mine"
    pids = [each["pid"] for each in client.status(guest)]
    assert len(pids) == 2
    assert pids[1] == engine["pid"]


def test_without_the_right_to_enter_it_is_as_if_there_were_none(machine):
    _, guest = machine
    assert unix_socket.connect_shared(None) is None
    assert unix_socket.connect_shared(guest.state) is None
    (guest.shared / "engine.sock").unlink()
    assert isinstance(ask(guest)[-1], Done)
    assert len(client.status(guest)) == 1


def test_it_leaves_no_name_behind_that_would_be_waited_for(machine):
    owner, guest = machine
    peer = unix_socket.connect(owner.state)
    assert peer is not None
    with contextlib.closing(EngineConnection(peer, keeps=False)) as link:
        link.send({"type": "stop"})
        with pytest.raises(EngineGoneError):
            link.receive(timeout_s=20)
    until = time.monotonic() + 10
    while (guest.shared / "engine.sock").exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_who_moved_everything_elsewhere_is_by_themselves():
    assert Paths.from_env({"HOME": "/home/x"}).shared == SHARED
    assert Paths.from_env({"HOME": "/home/x", "EDGECHAT_HOME": "/data"}).shared is None
