"""A FAKE engine: speaks the real protocol on the real socket and says exactly what a test tells it to.

For front ends only, where the real engine cannot be made to say a thing (control characters, 60 tokens a second).
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol import unix_socket
from edgechat.engine.protocol.events import Done, Started, Text, to_frame
from edgechat.engine.protocol.framing import Decoder, encode
from edgechat.engine.protocol.version import IDENTITY
from edgechat.paths import private_directory

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgechat.engine.protocol.events import Event

STARTED = Started("scripted", "q4_k_m", 4096, 10, 0, ("en",), is_starter=False, stepped_down_from=None)
DONE = Done("stop", dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "forced_tokens",
            "drafted_tokens", "accepted_tokens"), 1), {"prefill_tps": 1.0, "decode_tps": 1.0}, 1,
            is_context_full=False, peak_rss_bytes=1, load_s=0.1)  # fmt: skip


class ScriptedEngine(threading.Thread):
    """Answers every request with the same texts, ``pause_s`` apart."""

    def __init__(self, server: socket.socket, texts: Sequence[str], pause_s: float) -> None:
        super().__init__(daemon=True)
        self._server, self._texts, self._pause_s = server, texts, pause_s
        self.requests: list[dict[str, Any]] = []
        self.drafts: list[dict[str, Any]] = []
        """Prefill-only requests, which are not answered."""
        self.before: list[Event] = []
        """Said before each answer."""

    def run(self) -> None:
        """Serve clients until the socket is closed."""
        self._server.setblocking(True)
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            self._read(peer)

    def _read(self, peer: socket.socket) -> None:
        decoder = Decoder()
        while data := peer.recv(1 << 16):
            for frame in decoder.feed(data):
                if frame["type"] == "hello":
                    hello = {"type": "hello", **IDENTITY, "engine": "scripted", "pid": 1}
                    peer.sendall(encode(hello))
                elif frame["type"] == "generate" and frame["request"]["prefill_only"]:
                    self.drafts.append(frame["request"])
                elif frame["type"] == "generate":
                    self.requests.append(frame["request"])
                    self._answer(peer, frame["id"])

    def _answer(self, peer: socket.socket, request_id: int) -> None:
        for event in self.before:
            peer.sendall(encode(to_frame(event, request_id)))
        peer.sendall(encode(to_frame(STARTED, request_id)))
        for number, text in enumerate(self._texts):
            peer.sendall(encode(to_frame(Text(text, (number,)), request_id)))
            time.sleep(self._pause_s)
        peer.sendall(encode(to_frame(DONE, request_id)))


@contextlib.contextmanager
def scripted_engine(state: Path, texts: Sequence[str], *, pause_s: float = 0.0) -> Iterator[ScriptedEngine]:
    """A scripted engine in a state directory."""
    private_directory(state)
    server = unix_socket.listen(state)
    engine = ScriptedEngine(server, texts, pause_s)
    engine.start()
    try:
        yield engine
    finally:
        unix_socket.remove(state)
        with contextlib.suppress(OSError):
            server.shutdown(2)
        server.close()
        engine.join(5)
