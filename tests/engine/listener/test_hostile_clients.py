"""Clients that say nothing, or half of something: they keep nobody else out, and the engine stays small."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time

import pytest

from edgechat.engine.listener import connections
from edgechat.engine.listener.connections import Listener
from edgechat.engine.listener.guests import MAX_GUESTS, MAX_PER_USER, has_no_place
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.framing import Decoder, encode
from edgechat.errors import StateError
from edgechat.paths import private_directory

pytestmark = pytest.mark.process


@pytest.fixture
def listener(paths):
    """A listener that greets and answers ``status``, without an engine behind it."""

    def answer(connection, frame):
        connection.is_greeted = True
        connection.send_frame({"type": frame["type"]})

    server = unix_socket.listen(private_directory(paths.state))
    running = Listener(server, on_frame=answer, on_gone=lambda _: None, on_tick=lambda: None)
    running.start()
    yield running
    running.close({"type": "bye", "reason": "stopped"})
    server.close()


def ask(peer: socket.socket, frame: dict[str, object]) -> dict[str, object]:
    peer.settimeout(20)
    peer.sendall(encode(frame))
    decoder = Decoder()
    while True:
        data = peer.recv(1 << 16)
        assert data, "disconnected"
        for found in decoder.feed(data):
            return found


def is_closed(peer: socket.socket, seconds: float) -> bool:
    peer.settimeout(seconds)
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def connected(paths) -> socket.socket:
    peer = unix_socket.connect(paths.state)
    assert peer is not None
    return peer


def test_a_silent_client_loses_its_place_and_one_that_spoke_keeps_it(listener, paths, monkeypatch) -> None:
    monkeypatch.setattr(connections, "HELLO_S", 0.3)
    with contextlib.closing(connected(paths)) as silent, contextlib.closing(connected(paths)) as greeted:
        ask(greeted, {"type": "hello"})
        assert is_closed(silent, 20)
        assert not is_closed(greeted, 1)
        assert ask(greeted, {"type": "status"}) == {"type": "status"}


def test_half_a_frame_does_not_hold_a_place(listener, paths, monkeypatch) -> None:
    monkeypatch.setattr(connections, "FRAME_S", 0.3)
    with contextlib.closing(connected(paths)) as half:
        ask(half, {"type": "hello"})
        half.sendall(struct.pack(">I", 500) + b'{"type":"gen')
        assert is_closed(half, 20)


def test_others_are_answered_while_a_bomb_is_sent(listener, paths) -> None:
    """31 MB of ``{},`` in a ``status`` frame: the engine grew by 850 MB and was deaf for 1.4 s."""
    body = b'{"type":"status","x":[' + b"{}," * 10_000_000
    with contextlib.closing(connected(paths)) as hostile, contextlib.closing(connected(paths)) as other:
        ask(hostile, {"type": "hello"})
        ask(other, {"type": "hello"})

        def send() -> None:
            with contextlib.suppress(OSError):
                hostile.sendall(struct.pack(">I", len(body)) + body)

        sending = threading.Thread(target=send)
        sending.start()
        for _ in range(20):
            assert ask(other, {"type": "status"}) == {"type": "status"}
        sending.join(20)
        assert is_closed(hostile, 20)


def test_no_user_takes_the_places_of_all_guests() -> None:
    mallory, others = 1001, [1002, 1003]
    assert has_no_place(mallory, [mallory] * MAX_PER_USER)
    assert not has_no_place(others[0], [mallory] * MAX_PER_USER)
    assert has_no_place(others[0], [*range(2000, 2000 + MAX_GUESTS)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_socket_of_another_user_is_not_spoken_to(paths) -> None:
    """A socket that another user placed in the state directory would get the conversation."""
    state = private_directory(paths.state)
    child = os.fork()
    if child == 0:
        os.chmod(state, 0o777)  # noqa: PTH101
        for folder in state.parents:
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o755 if folder != state.parents[-2] else 0o1777)  # noqa: PTH101
        os.setuid(54_321)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(state / "engine.sock"))
        server.listen(1)
        time.sleep(60)
        os._exit(0)
    try:
        until = time.monotonic() + 20
        while not (state / "engine.sock").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(0.1)
        # As a user, for whom even root's answer counts, and another's does not.
        with pytest.raises(StateError, match="another user"):
            unix_socket.connect(state)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
