"""The server side of the engine's socket: accepts clients, reads frames, and writes without blocking the decode loop.

One thread owns the selector. The decode loop calls :meth:`Connection.send` from its own thread: a frame is usually
written at once; the part that the socket does not accept is buffered, up to a limit, and written by the selector's
thread.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.listener.answer_log import AnswerLog
from edgechat.engine.listener.guests import FORBIDDEN, has_no_place
from edgechat.engine.listener.limits import GUEST_BYTES, OpenRequests
from edgechat.engine.protocol import events, unix_socket
from edgechat.engine.protocol.framing import Decoder, Frame, encode
from edgechat.engine.protocol.limits import FIRST_FRAME, MAX_FRAME
from edgechat.engine.state.log import log_exception
from edgechat.errors import EngineProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MAX_UNREAD = 8 * 1024 * 1024
"""Bytes buffered for a client that does not read; beyond that the client is disconnected."""

MAX_CLIENTS = 64

HELLO_S = 10.0
"""Time for a client's first frame: a place is held only by a client that speaks."""
FRAME_S = 30.0
"""Time for a frame to arrive once it has begun."""

_LAST = frozenset(("done", "error", "switch"))
"""Types of a request's last frame."""


class Connection:
    """One client."""

    def __init__(self, peer: socket.socket, listener: Listener, *, uid: int | None = None) -> None:
        self._socket = peer
        self._listener = listener
        self.uid = uid
        """The user at the other end; None where the system does not say."""
        self._waiting_since: float | None = time.monotonic()
        """When the connection, or the frame that is arriving, began; None between frames."""
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._decoder = Decoder(FIRST_FRAME, is_bounded=True)
        self.is_open = True
        self.is_greeted = False
        self.keeps = False
        """True for a client that stays connected (the terminal UI, a server) and keeps the resident model."""
        self.is_guest = False
        """True for another user's client (:mod:`edgechat.engine.listener.guests`)."""

    def send_frame(self, frame: Frame) -> None:
        """Send or buffer one frame; does nothing once the client has left."""
        if frame["type"] == "error":
            self._listener.answers.failed(id(self), frame["id"], str(frame["kind"]))
        if frame["type"] in _LAST:
            self.finish(frame["id"])
        data = encode(frame)
        with self._lock:
            if not self.is_open:
                return
            if not self._unsent:
                try:
                    sent = self._socket.send(data)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError:
                    self.is_open = False
                    sent = len(data)
                data = data[sent:]
            if not data:
                return
            self._unsent += data
            if len(self._unsent) > MAX_UNREAD:
                self.is_open = False
        self._listener.wake()

    def send(self, event: events.Event, request_id: int) -> None:
        """Send an event of one request."""
        self._listener.answers.add(id(self), request_id, event)
        self.send_frame(events.to_frame(event, request_id))

    def finish(self, request_id: int) -> None:
        """Close a request: no more frames of it will be sent."""
        self._listener.open_requests.close(self, request_id)

    def dismiss(self, reason: str) -> None:
        """Send a goodbye and disconnect; called from other threads than the listener's."""
        self.send_frame({"type": "bye", "reason": reason})
        with self._lock:
            self.is_open = False
        self._listener.wake()

    def fileno(self) -> int:
        """For the selector."""
        return self._socket.fileno()

    # -- only the listener's thread calls what follows ---------------------------------------------------------------

    def flush(self) -> bool:
        """Write what is buffered; True while something remains."""
        with self._lock:
            while self._unsent and self.is_open:
                try:
                    sent = self._socket.send(self._unsent)
                except (BlockingIOError, InterruptedError):
                    return True
                except OSError:
                    self.is_open = False
                    break
                del self._unsent[:sent]
            return bool(self._unsent) and self.is_open

    def read(self) -> list[Frame] | None:
        """Frames that have arrived; None when the client has left or violates the protocol."""
        try:
            data = self._socket.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        if not data:
            return None
        self._decoder.limit = MAX_FRAME if self.is_greeted else FIRST_FRAME
        try:
            # The size that arrived replaces any that the client claims.
            frames = [{**frame, "n_bytes": self._decoder.n_bytes} for frame in self._decoder.feed(data)]
        except EngineProtocolError:
            return None
        if not self._decoder.n_pending:
            self._waiting_since = None
        elif frames or self._waiting_since is None:
            self._waiting_since = time.monotonic()
        return frames

    def is_late(self, now: float) -> bool:
        """Whether the client has been silent for too long: before its first frame, or in the middle of one."""
        if self._waiting_since is None:
            return False
        return now - self._waiting_since > (FRAME_S if self.is_greeted else HELLO_S)

    @property
    def n_pending(self) -> int:
        """Bytes of a frame that has not arrived completely."""
        return self._decoder.n_pending

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self.is_open = False
            self._socket.close()


class Listener(threading.Thread):
    """Accepts clients and passes their frames on.

    Args:
        server: a listening Unix socket.
        on_frame: called in this thread with each frame.
        on_gone: called in this thread when a client has left.
        on_tick: called in this thread about four times a second.
    """

    TICK_S = 0.25

    def __init__(
        self,
        server: socket.socket,
        *,
        on_frame: Callable[[Connection, Frame], None],
        on_gone: Callable[[Connection], None],
        on_tick: Callable[[], None],
    ) -> None:
        super().__init__(name="listener", daemon=True)
        self._server = server
        self._on_frame, self._on_gone, self._on_tick = on_frame, on_gone, on_tick
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._selector.register(server, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self.connections: list[Connection] = []
        self._shared: socket.socket | None = None
        self.answers = AnswerLog(None, "off")
        """The log of answers."""
        self.open_requests = OpenRequests()
        """The open requests of all connections."""
        self._is_closing = False
        self._closed = threading.Event()

    def add_shared_socket(self, server: socket.socket | None) -> None:
        """Also accept clients of other users on this socket; call before the thread starts."""
        if server is not None:
            self._shared = server
            self._selector.register(server, selectors.EVENT_READ)

    def wake(self) -> None:
        """Make the thread write what is buffered."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes it just as well
            os.write(self._wake_in, b"x")

    def close(self, goodbye: Frame, *, timeout_s: float = 1.0) -> None:
        """Send every client a last frame, wait up to ``timeout_s``, disconnect; called from other threads."""
        self._is_closing = True
        for connection in list(self.connections):
            connection.send_frame(goodbye)
        self.wake()
        self._closed.wait(timeout_s)

    def run(self) -> None:
        """The thread's body. An unexpected error ends the engine process, so that a client starts a new one."""
        try:
            self._listen()
        except Exception:  # noqa: BLE001 - no caller could handle it
            try:
                log_exception()
            finally:
                os._exit(70)

    def _listen(self) -> None:
        while True:
            waiting = [c for c in self.connections if c.flush()]
            if self._is_closing and not waiting:
                break
            self._watch(waiting)
            for key, mask in self._selector.select(self.TICK_S):
                self._handle(key.fileobj, mask)
            for connection in [c for c in self.connections if not c.is_open]:
                self._drop(connection)
            self._drop_late(time.monotonic())
            self._on_tick()
        for connection in list(self.connections):
            connection.close()
        if self._shared is not None:
            # Clients would take a socket without a listener for an engine that is being restarted.
            with contextlib.suppress(OSError):
                os.unlink(self._shared.getsockname())  # noqa: PTH108 - a name as the kernel gives it
        self._closed.set()

    def _drop_late(self, now: float) -> None:
        for connection in [each for each in self.connections if each.is_late(now)]:
            self._drop(connection)

    def _watch(self, waiting: list[Connection]) -> None:
        for connection in self.connections:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection in waiting else 0)
            if self._selector.get_key(connection).events != wanted:
                self._selector.modify(connection, wanted)

    def _handle(self, source: Any, mask: int) -> None:
        if source is self._server:
            self._accept(self._server)
        elif self._shared is not None and source is self._shared:
            self._accept(self._shared)
        elif source == self._wake_out:
            os.read(self._wake_out, 4096)
        elif mask & selectors.EVENT_READ:
            frames = source.read()
            if frames is None or (source.is_guest and self._guests_pending() > GUEST_BYTES):
                self._drop(source)
                return
            for frame in frames:
                self._handle_frame(source, frame)

    def _guests_pending(self) -> int:
        return sum(each.n_pending for each in self.connections if each.is_guest)

    def _handle_frame(self, connection: Connection, frame: Frame) -> None:
        if connection.is_guest:
            if frame["type"] in FORBIDDEN:
                self._drop(connection)
                return
            frame.pop("keep_alive", None)
        try:
            self._on_frame(connection, frame)
        except Exception:  # noqa: BLE001 - one client's bad frame must not end the listener
            log_exception()
            self._drop(connection)

    def _accept(self, server: socket.socket) -> None:
        try:
            peer, _ = server.accept()
        except OSError:
            # The client has given up already; or no descriptors are left, and this loop must not spin.
            time.sleep(0.01)
            return
        is_guest = server is self._shared
        uid = unix_socket.peer_uid(peer)
        if not is_guest and uid not in {None, 0, os.geteuid()}:
            peer.close()  # the socket's mode keeps other users out; this holds where somebody changed it
            return
        guests = [each for each in self.connections if each.is_guest]
        if len(self.connections) >= MAX_CLIENTS or (is_guest and has_no_place(uid, [each.uid for each in guests])):
            with contextlib.suppress(OSError):
                peer.send(encode({"type": "bye", "reason": "busy"}))
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer, self, uid=uid)
        connection.is_guest = is_guest
        self.connections.append(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, connection: Connection) -> None:
        if connection not in self.connections:
            return
        self._selector.unregister(connection)
        self.connections.remove(connection)
        connection.close()
        self.answers.client_left(id(connection))
        self._on_gone(connection)
