"""Frames between front ends and the engine: length-prefixed JSON over a Unix socket.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON, always an object. The first frame in each
direction is ``hello``; its form never changes, so that any two versions can identify each other.

Client to engine                                 Engine to client
``hello   {version, protocol, dialect, keeps}``   ``hello   {version, protocol, dialect, engine, pid}``
``generate{id, request}``                         ``queued switch loading started prefill text embedded done error``
``cancel  {id}``                                  (``done`` follows, ``finish_reason: cancelled``)
``status  {}``                                    ``status  {engines: […]}``
``retire  {}``                                    ``bye     {reason}`` after the running answers
``stop    {}``                                    ``bye     {reason}`` at once
``keep    {seconds}``
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from edgechat.errors import EngineProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL = 1
"""Incremented when a frame changes its meaning; client and engine must have the same number."""

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. No prompt of this size fits a context; a longer frame comes from a broken or hostile peer."""

FIRST_FRAME = 64 * 1024
"""Bytes of a client's frame before the handshake."""

_LENGTH = struct.Struct(">I")

Frame = dict[str, Any]


def encode(frame: Frame) -> bytes:
    """The bytes of one frame.

    Raises:
        EngineProtocolError: the frame is larger than :data:`MAX_FRAME`.
    """
    body = json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(body) > MAX_FRAME:
        raise EngineProtocolError(
            f"A message of {len(body)} bytes is too large.", hint=f"The limit is {MAX_FRAME} bytes: shorten the input."
        )
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Splits a stream of bytes into frames.

    Args:
        limit: largest accepted frame in bytes; may be changed between frames.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self.n_bytes = 0
        """Bytes of the frame that was yielded last."""
        self._buffer = bytearray()

    @property
    def n_pending(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes and yield every frame that is complete.

        Raises:
            EngineProtocolError: the bytes violate the protocol.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.limit:
                raise EngineProtocolError(f"The peer announced a message of {length} bytes; the limit is {self.limit}.")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                frame = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise EngineProtocolError("The peer sent a message that is not JSON.") from error
            if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
                raise EngineProtocolError("The peer sent a message without a type.")
            self.n_bytes = length
            yield frame
