"""The engine's side of its socket: accepts clients, reads their frames, writes without ever blocking the decode loop.

One thread owns the selector. The decode loop calls :meth:`Connection.send` from its own thread: a frame usually goes
out at once; what the socket does not take is kept, bounded, and written by the selector's thread.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.listener.answer_log import AnswerLog
from edgechat.engine.listener.guests import FORBIDDEN, MAX_GUESTS
from edgechat.engine.listener.limits import GUEST_BYTES, Intake
from edgechat.engine.protocol import events
from edgechat.engine.protocol.framing import FIRST_FRAME, MAX_FRAME, Decoder, Frame, encode
from edgechat.engine.state.log import log_exception
from edgechat.errors import EngineProtocolError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MAX_UNREAD = 8 * 1024 * 1024
"""Bytes kept for a client that does not read; beyond it the client is dropped, so that it costs nobody else."""

MAX_CLIENTS = 64

_LAST = frozenset(("done", "error", "switch"))
"""Frames behind which nothing more comes of a request."""


class Connection:
    """One client."""

    def __init__(self, peer: socket.socket, listener: Listener) -> None:
        self._socket = peer
        self._listener = listener
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._decoder = Decoder(FIRST_FRAME)
        self.is_open = True
        self.is_greeted = False
        self.keeps = False
        """True for a client that means to stay (the terminal UI, a server)."""
        self.is_guest = False
        """True for another user's client: it may ask, and neither stop the engine nor change what is loaded."""

    def send_frame(self, frame: Frame) -> None:
        """Queue one frame; silently nothing once the client is gone."""
        if frame["type"] == "error":
            self._listener.answers.failed(id(self), frame["id"], str(frame["kind"]))
        if frame["type"] in _LAST:
            self.settle(frame["id"])
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
        """Queue an event of one request."""
        self._listener.answers.note(id(self), request_id, event)
        self.send_frame(events.to_frame(event, request_id))

    def settle(self, request_id: int) -> None:
        """Nothing more comes of a request."""
        self._listener.intake.settle(self, request_id)

    def dismiss(self, reason: str) -> None:
        """Say goodbye and hang up, from another thread than the listener's."""
        self.send_frame({"type": "bye", "reason": reason})
        with self._lock:
            self.is_open = False
        self._listener.wake()

    def fileno(self) -> int:
        """For the selector."""
        return self._socket.fileno()

    # -- only the listener's thread calls what follows ---------------------------------------------------------------

    def flush(self) -> bool:
        """Write what is kept; True while something remains."""
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
        """Frames that have arrived, or None when the client is gone or talks nonsense."""
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
            # The size is what arrived, whatever a client claims.
            return [{**frame, "n_bytes": self._decoder.n_bytes} for frame in self._decoder.feed(data)]
        except EngineProtocolError:
            return None

    @property
    def n_pending(self) -> int:
        """Bytes of a frame that has not arrived as a whole."""
        return self._decoder.n_pending

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self.is_open = False
            self._socket.close()


class Listener(threading.Thread):
    """Accepts clients and hands their frames on.

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
        """Where answers are noted, if their owner wants that."""
        self.intake = Intake()
        """What is open."""
        self._is_closing = False
        self._closed = threading.Event()

    def share(self, server: socket.socket | None) -> None:
        """Let other users' clients in by a socket of their own. To be called before the thread starts."""
        if server is not None:
            self._shared = server
            self._selector.register(server, selectors.EVENT_READ)

    def wake(self) -> None:
        """Make the thread look at what is unsent."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes it just as well
            os.write(self._wake_in, b"x")

    def close(self, farewell: Frame, *, patience_s: float = 1.0) -> None:
        """Send every client a last frame, give slow ones a moment, hang up. Called from another thread."""
        self._is_closing = True
        for connection in list(self.connections):
            connection.send_frame(farewell)
        self.wake()
        self._closed.wait(patience_s)

    def run(self) -> None:
        """The thread's body. An engine that can no longer hear is of no use: it ends, and is started anew."""
        try:
            self._listen()
        except Exception:  # noqa: BLE001 - there is nobody above this thread to tell
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
            self._on_tick()
        for connection in list(self.connections):
            connection.close()
        if self._shared is not None:
            # A name that nobody answers at would be taken for an engine that is being restarted.
            with contextlib.suppress(OSError):
                os.unlink(self._shared.getsockname())  # noqa: PTH108 - a name as the kernel gives it
        self._closed.set()

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
                self._take(source, frame)

    def _guests_pending(self) -> int:
        return sum(each.n_pending for each in self.connections if each.is_guest)

    def _take(self, connection: Connection, frame: Frame) -> None:
        if connection.is_guest:
            if frame["type"] in FORBIDDEN:
                self._drop(connection)
                return
            frame.pop("keep_alive", None)
        try:
            self._on_frame(connection, frame)
        except Exception:  # noqa: BLE001 - one client's nonsense (or our defect) must not make the engine deaf to all
            log_exception()
            self._drop(connection)

    def _accept(self, server: socket.socket) -> None:
        try:
            peer, _ = server.accept()
        except OSError:
            # The client gave up between knocking and entering; or we are out of descriptors, and must not spin.
            time.sleep(0.01)
            return
        is_guest = server is self._shared
        n_guests = sum(each.is_guest for each in self.connections)
        if len(self.connections) >= MAX_CLIENTS or (is_guest and n_guests >= MAX_GUESTS):
            with contextlib.suppress(OSError):
                peer.send(encode({"type": "bye", "reason": "busy"}))
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer, self)
        connection.is_guest = is_guest
        self.connections.append(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, connection: Connection) -> None:
        if connection not in self.connections:
            return
        self._selector.unregister(connection)
        self.connections.remove(connection)
        connection.close()
        self.answers.gone(id(connection))
        self._on_gone(connection)
