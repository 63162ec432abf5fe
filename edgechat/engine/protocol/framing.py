"""Frames between front ends and the engine: length-prefixed JSON over a Unix socket.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON, always an object. The first frame in each
direction is ``hello``; its form never changes, so that any two versions can identify each other.

A client's frame begins with its type where it is longer than 64 KiB.

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
import re
import struct
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.json_bounds import PIECE, JsonBounds, JsonTooLargeError, parse
from edgechat.engine.protocol.limits import FIRST_FRAME, MAX_FRAME
from edgechat.errors import EngineProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL = 1
"""Incremented when a frame changes its meaning; client and engine must have the same number."""

_LENGTH = struct.Struct(">I")
_TYPE_BYTES = 64
"""Of the beginning of a frame; its type stands there."""
_GENERATE = re.compile(rb'\s*\{\s*"type"\s*:\s*"generate"\s*[,}]')

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
        is_bounded: the peer is not trusted: only ``generate`` may be longer than :data:`FIRST_FRAME`, and nesting and
            number of items are bounded while a frame arrives.
    """

    def __init__(self, limit: int = MAX_FRAME, *, is_bounded: bool = False) -> None:
        self.limit = limit
        self._is_bounded = is_bounded
        self._bounds: JsonBounds | None = None
        """Of the frame that is arriving."""
        self._n_counted = 0
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
            if self._is_bounded:
                self._count(end)
            if len(self._buffer) < end:
                return
            self._bounds = None
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                frame = parse(body)
            except (ValueError, RecursionError) as error:
                raise EngineProtocolError("The peer sent a message that is not JSON.") from error
            if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
                raise EngineProtocolError("The peer sent a message without a type.")
            if self._is_bounded and length > FIRST_FRAME and frame["type"] != "generate":
                raise EngineProtocolError(f"The peer sent {length} bytes of {frame['type'][:20]!r}.")
            self.n_bytes = length
            yield frame

    def _count(self, end: int) -> None:
        """Count what has arrived of the first frame in the buffer.

        Raises:
            EngineProtocolError: it is too large for its type, or exceeds the bounds of JSON.
        """
        if self._bounds is None:
            self._bounds, self._n_counted = JsonBounds(), _LENGTH.size
        has_arrived = min(len(self._buffer), end)
        if end - _LENGTH.size > FIRST_FRAME and has_arrived >= min(end, _LENGTH.size + _TYPE_BYTES):
            head = bytes(self._buffer[_LENGTH.size : _LENGTH.size + _TYPE_BYTES])
            if not _GENERATE.match(head):
                raise EngineProtocolError(f"The peer announced {end - _LENGTH.size} bytes of another message.")
        elif end - _LENGTH.size > FIRST_FRAME:
            return  # its type has not arrived yet
        try:
            for at in range(self._n_counted, has_arrived, PIECE):
                self._bounds.feed(bytes(self._buffer[at : min(at + PIECE, has_arrived)]))
        except JsonTooLargeError as error:
            raise EngineProtocolError(f"The peer sent a message that is refused: {error}.") from error
        self._n_counted = has_arrived
