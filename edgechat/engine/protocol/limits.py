"""Limits of what one peer may send over the engine's socket, or to the HTTP server as JSON."""

from __future__ import annotations

MAX_FRAME = 64 * 1024 * 1024
"""Bytes. No prompt of this size fits a context; a longer frame comes from a broken or hostile peer."""

FIRST_FRAME = 64 * 1024
"""Bytes of a client's frame before the handshake, and of any frame but ``generate`` after it."""

MAX_ITEMS = 200_000
"""Of one JSON message: commas and opening brackets outside strings. Empty objects of this number take 15 MB."""

MAX_DEPTH = 200
"""Levels of nesting of one JSON message."""
