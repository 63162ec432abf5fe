"""A client's connection to an engine: handshake, frames out, frames in, and the engine's goodbye."""

from __future__ import annotations

import contextlib
import socket
import time

from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.framing import Decoder, Frame, encode
from edgechat.engine.protocol.version import IDENTITY

HANDSHAKE_S = 30.0
"""How long an engine may take for the handshake, or to accept a frame; it may be starting from a slow SD card."""


class EngineGoneError(Exception):
    """The connection broke. ``reason`` is that of the engine's ``bye`` frame, or None when it sent none."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason or "connection lost")
        self.reason = reason


class EngineConnection:
    """One open connection after the handshake."""

    def __init__(self, peer: socket.socket, *, keeps: bool, timeout_s: float = HANDSHAKE_S) -> None:
        self._socket = peer
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        try:
            self.send({"type": "hello", **IDENTITY, "keeps": keeps})
            hello = self.receive(timeout_s=timeout_s)
            if hello is None:
                raise EngineGoneError(None)  # noqa: TRY301 - it hangs
        except BaseException:
            self.close()
            raise
        self.engine = str(hello.get("engine"))
        self.is_same_version = all(hello.get(name) == value for name, value in IDENTITY.items())
        self.version = str(hello.get("version"))
        self.is_shared = False
        """True for the machine's own engine, which belongs to another user."""
        self.pid = int(hello.get("pid") or 0)
        self.supervisor = unix_socket.supervisor_pid(peer)
        """Process id of the engine's supervisor; None where that is unknown."""

    def send(self, frame: Frame) -> None:
        """Send one frame.

        Raises:
            EngineGoneError: the engine has disconnected.
        """
        try:
            self._socket.settimeout(HANDSHAKE_S)
            self._socket.sendall(encode(frame))
        except OSError as error:
            raise EngineGoneError(self._goodbye()) from error

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, or None when ``timeout_s`` passed without one.

        Raises:
            EngineGoneError: the engine has disconnected.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._frames:
            remaining = None if until is None else until - time.monotonic()
            if remaining is not None and remaining <= 0:
                return None
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError as error:
                raise EngineGoneError(None) from error
            if not data:
                raise EngineGoneError(None)
            self._frames += self._decoder.feed(data)
        frame = self._frames.pop(0)
        if frame["type"] == "bye":
            raise EngineGoneError(str(frame.get("reason")))
        return frame

    def _goodbye(self) -> str | None:
        """The reason of the engine's goodbye that arrived before a write failed; None where there is none."""
        try:
            while self.receive(timeout_s=0.2) is not None:
                pass
        except EngineGoneError as gone:
            return gone.reason
        return None

    def shut_down(self) -> None:
        """Disconnect from another thread; unlike closing, this wakes a thread that reads from the connection."""
        with contextlib.suppress(OSError):  # it may just have been closed
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Disconnect; this cancels a running answer."""
        self._socket.close()
