"""The limits of what the engine accepts, and the lower ones for clients of other users."""

from __future__ import annotations

import os
import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from edgechat.engine.decoding.request_queue import RequestQueue
from edgechat.engine.listener import guests, limits
from edgechat.engine.listener.connections import Connection, Listener
from edgechat.engine.listener.limits import OpenRequests
from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.framing import Decoder, Frame, encode
from edgechat.engine.protocol.limits import FIRST_FRAME
from edgechat.engine.protocol.request import Message, Request, Wish
from edgechat.errors import EngineBusyError, EngineProtocolError, InvalidInputError, ModelNotFoundError, NoModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


HI = Request((Message("user", "hi"),))
MB = 1024 * 1024


@dataclass(eq=False)
class Client:
    """Whoever asks."""

    is_guest: bool = False


def test_a_connection_has_a_few_requests_open_at_most() -> None:
    open_, greedy, other = OpenRequests(), Client(), Client()
    for number in range(limits.MAX_OPEN):
        open_.admit(greedy, number, 10)
    with pytest.raises(EngineBusyError, match="of this client"):
        open_.admit(greedy, 100, 10)
    open_.admit(other, 0, 10)
    open_.close(greedy, 3)
    open_.admit(greedy, 100, 10)


def test_a_number_is_not_used_twice_at_a_time() -> None:
    open_, client = OpenRequests(), Client()
    open_.admit(client, 1, 10)
    with pytest.raises(EngineProtocolError):
        open_.admit(client, 1, 10)
    open_.close(client, 1)
    open_.admit(client, 1, 10)


def test_all_requests_together_have_a_bound_and_one_alone_may_reach_it() -> None:
    open_, first, second = OpenRequests(), Client(), Client()
    open_.admit(first, 1, limits.MAX_BYTES)
    with pytest.raises(EngineBusyError):
        open_.admit(second, 1, 1)
    open_.close(first, 1)
    open_.admit(second, 1, 1)


def test_guests_leave_half_of_it_to_the_owner() -> None:
    open_, owner = OpenRequests(), Client()
    for _ in range(4):
        open_.admit(Client(is_guest=True), 1, limits.GUEST_BYTES // 4)
    with pytest.raises(EngineBusyError, match="of other users"):
        open_.admit(Client(is_guest=True), 1, 1)
    open_.admit(owner, 1, limits.MAX_BYTES - limits.GUEST_BYTES)
    with pytest.raises(InvalidInputError, match="too large"):
        OpenRequests().admit(Client(is_guest=True), 1, limits.GUEST_BYTES + 1)


def test_a_cancellation_counts_once_and_only_for_what_is_open() -> None:
    open_, client = OpenRequests(), Client()
    assert not open_.cancel(client, 1)
    open_.admit(client, 1, 10)
    assert [open_.cancel(client, each) for each in (1, 1, 2, None, "1")] == [True, False, False, False, False]


def test_a_guest_names_no_file_and_keeps_nothing() -> None:
    for model in ("/etc/shadow", "~/x.gguf", "../x", "x.GGUF"):
        with pytest.raises(ModelNotFoundError):
            guests.restrict(Request(HI.messages, Wish(model)))
    named = Request(HI.messages, Wish("smollm2"), keep="a conversation")
    assert guests.restrict(named) == Request(HI.messages, Wish("smollm2"))
    assert guests.wish_to_load(named, is_guest=True) == Wish()
    assert guests.wish_to_load(named, is_guest=False) == Wish("smollm2")


class House:
    """A real listener whose frames are kept, and clients of both sockets."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory, self._stack = directory, stack
        self.frames: list[tuple[Connection, Frame]] = []
        self.gone: list[Connection] = []
        own, shared = (self._bound(name) for name in ("own", "shared"))
        self.listener = Listener(own, on_frame=self._on_frame, on_gone=self.gone.append, on_tick=lambda: None)
        self.listener.add_shared_socket(shared)
        self.listener.start()

    def _bound(self, name: str) -> socket.socket:
        server = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(str(self._directory / name))
        server.listen(128)
        server.setblocking(False)
        return server

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        self.frames.append((connection, frame))
        if frame["type"] == "hello":
            connection.is_greeted = True
        connection.send_frame({"type": "heard"})

    def enter(self, name: str) -> socket.socket:
        client = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        client.settimeout(20)
        client.connect(str(self._directory / name))
        return client

    @staticmethod
    def say(client: socket.socket, **frame: Any) -> list[Frame]:
        """What comes back; nothing where it was hung up on."""
        try:
            client.sendall(encode(frame))
            data = client.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            return []
        return list(Decoder().feed(data))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Closed afterwards."""
    with ExitStack() as stack:
        made = House(tmp_path, stack)
        yield made
        made.listener.close({"type": "bye", "reason": "idle"}, timeout_s=20)
        made.listener.join(20)


def test_however_many_guests_come_there_is_room_for_the_owner(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    users = [1001 + number // guests.MAX_PER_USER for number in range(guests.MAX_GUESTS)]
    owner = os.geteuid()
    monkeypatch.setattr(unix_socket, "peer_uid", lambda _: users.pop(0) if users else owner)
    inside = []
    for _ in range(guests.MAX_GUESTS):
        inside.append(house.enter("shared"))
        assert house.say(inside[-1], type="status") == [{"type": "heard"}]
    turned_away = house.enter("shared")
    assert list(Decoder().feed(turned_away.recv(1 << 16))) == [{"type": "bye", "reason": "busy"}]
    assert turned_away.recv(1) == b""
    for _ in range(8):
        assert house.say(house.enter("own"), type="status") == [{"type": "heard"}]


def test_one_user_takes_no_more_than_its_own_places(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 silent connections of one user held the places of all."""
    monkeypatch.setattr(unix_socket, "peer_uid", lambda _: 1001)
    inside = [house.enter("shared") for _ in range(guests.MAX_PER_USER)]
    assert all(house.say(each, type="status") == [{"type": "heard"}] for each in inside)
    assert list(Decoder().feed(house.enter("shared").recv(1 << 16))) == [{"type": "bye", "reason": "busy"}]
    monkeypatch.setattr(unix_socket, "peer_uid", lambda _: 1002)
    assert house.say(house.enter("shared"), type="status") == [{"type": "heard"}]


def test_before_hello_only_short_frames_are_taken(house: House) -> None:
    long = "x" * FIRST_FRAME
    assert house.say(house.enter("own"), type="hello", text=long) == []
    polite = house.enter("own")
    assert house.say(polite, type="hello") == [{"type": "heard"}]
    assert house.say(polite, type="generate", text=long, n_bytes=1) == [{"type": "heard"}]
    assert house.frames[-1][1]["n_bytes"] > FIRST_FRAME, "counted, not believed"


def test_frames_that_guests_never_finish_do_not_pile_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgechat.engine.listener.connections.GUEST_BYTES", MB)
    half = struct.pack(">I", 2 * MB) + b'{"type":"generate","text":"' + b"x" * (700 * 1024)
    owner, first, second = house.enter("own"), house.enter("shared"), house.enter("shared")
    for client in (owner, first, second):
        assert house.say(client, type="hello") == [{"type": "heard"}]
    for number, client in enumerate((owner, first), 1):
        client.sendall(half)
        until = time.monotonic() + 20
        while sum(each.n_pending == len(half) for each in list(house.listener.connections)) < number:
            assert time.monotonic() < until
            time.sleep(0.001)
    with suppress(OSError):  # whether it notices while it sends is a matter of chance
        second.sendall(half)
    with suppress(ConnectionResetError):
        assert second.recv(1) == b""
    house.listener.close({"type": "bye", "reason": "idle"}, timeout_s=20)
    assert b"bye" in owner.recv(1 << 16)
    assert b"bye" in first.recv(1 << 16)


def test_a_guests_wish_is_not_what_is_loaded_and_its_failure_ends_nothing(house: House) -> None:
    guest = house.enter("shared")
    house.say(guest, type="status")
    theirs = house.frames[-1][0]
    owner = house.enter("own")
    house.say(owner, type="status")
    ours = house.frames[-1][0]
    requests = RequestQueue()
    wished = Request(HI.messages, Wish("enormous"))
    house.listener.open_requests.admit(theirs, 1, 10)
    requests.put(theirs, 1, wished)
    assert requests.first_wish(0.0) == Wish()

    assert not requests.refuse(Wish(), NoModelError("Nothing is installed."))
    assert house.listener.open_requests.cancel(theirs, 1) is False, "it is settled"
    guest_hears = b""
    while piece := guest.recv(1 << 16):
        guest_hears += piece
    assert [frame["type"] for frame in Decoder().feed(guest_hears)] == ["error", "bye"]

    requests.put(ours, 7, wished)
    assert requests.first_wish(0.0) == Wish("enormous")
    assert requests.refuse(Wish("enormous"), NoModelError("It is not there."))
    assert len(requests) == 0


def test_while_a_model_is_loaded_requests_wait_in_order_and_cancelled_ones_leave(house: House) -> None:
    for _ in range(2):
        house.say(house.enter("own"), type="status")
    (stays, _), (leaves, _) = house.frames
    requests = RequestQueue()
    for connection, number in ((leaves, 1), (stays, 2), (leaves, 3), (stays, 4)):
        house.listener.open_requests.admit(connection, number, 10)
        requests.put(connection, number, HI)
    requests.cancel(stays, 2)
    requests.cancel(leaves, None)
    assert not house.listener.open_requests.cancel(leaves, 1), "it is settled"
    assert not house.listener.open_requests.cancel(stays, 2), "it is settled"
    assert requests.first_wish(0.0) == Wish()
    requests.put(stays, 5, HI)
    assert [queued.request_id for queued in iter(requests.take, None)] == [4, 5]
    assert requests.first_wish(0.0) is None
