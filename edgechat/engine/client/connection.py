"""One greeted connection to the engine, seen from a client: frames out, frames in, and the farewell.

Knows the protocol and nothing of answers; light, as ``client.py`` demands.
"""

from __future__ import annotations

import contextlib
import socket
import time

from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.framing import Decoder, Frame, encode
from edgechat.engine.protocol.version import WHO

HANDSHAKE_S = 30.0
"""How long an engine may take to greet, or to take a frame; it may be starting from a worn SD card."""


class EngineGoneError(Exception):
    """The connection broke. ``reason`` is the engine's farewell, or None when it said none."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason or "connection lost")
        self.reason = reason


class Link:
    """One open, greeted connection."""

    def __init__(self, peer: socket.socket, *, keeps: bool, patience_s: float = HANDSHAKE_S) -> None:
        self._socket = peer
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        try:
            self.send({"type": "hello", **WHO, "keeps": keeps})
            hello = self.receive(timeout_s=patience_s)
            if hello is None:
                raise EngineGoneError(None)  # noqa: TRY301 - it hangs, which is as good as gone
        except BaseException:
            self.close()
            raise
        self.engine = str(hello.get("engine"))
        self.is_same_version = all(hello.get(name) == value for name, value in WHO.items())
        self.version = str(hello.get("version"))
        self.is_shared = False
        """True for the machine's own engine, which belongs to another user."""
        self.pid = int(hello.get("pid") or 0)
        self.warden = unix_socket.warden(peer)
        """Process id of who will write down how this engine ended; None where that is unknown."""

    def send(self, frame: Frame) -> None:
        """Send one frame.

        Raises:
            EngineGoneError: nobody is there any more.
        """
        try:
            self._socket.settimeout(HANDSHAKE_S)
            self._socket.sendall(encode(frame))
        except OSError as error:
            raise EngineGoneError(self._farewell()) from error

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, or None when ``timeout_s`` passed without one.

        Raises:
            EngineGoneError: the engine hung up.
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

    def _farewell(self) -> str | None:
        """The engine's last word, when a write failed because it had already said goodbye."""
        try:
            while self.receive(timeout_s=0.2) is not None:
                pass
        except EngineGoneError as gone:
            return gone.reason
        return None

    def hang_up(self) -> None:
        """Hang up from another thread: whoever reads here wakes up, which closing alone would not do."""
        with contextlib.suppress(OSError):  # it may just have been closed
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up; a running answer is cancelled by it."""
        self._socket.close()
