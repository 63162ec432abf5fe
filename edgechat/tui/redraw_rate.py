"""How often a growing answer is redrawn, and the buffer that collects its text between two frames.

A frame costs the same however much text came, and the engine needs all cores: so frames are as frequent as people can
read, and rarer where drawing is slow.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.engine.protocol.events import Text

MIN_INTERVAL_S = 1 / 15
"""Shortest time between two frames of an answer: faster than people read, a quarter of a fast engine's tokens."""
MAX_INTERVAL_S = 0.25
"""Longest time between two frames, whatever they cost."""
MAX_CPU_SHARE = 0.05
"""Share of one core that drawing an answer may take from the engine."""


class RedrawRate:
    """Decides when the next frame is drawn.

    Args:
        clock: monotonic seconds.
        spent: processor seconds of the drawing thread; keys and everything else on it count too.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._spent = spent
        self._drawn_at = 0.0
        self._spent_then = 0.0

    def is_due(self) -> bool:
        """Whether to draw now; True counts as drawn."""
        now, spent = self._clock(), self._spent()
        elapsed = now - self._drawn_at
        if elapsed < MAX_INTERVAL_S and spent - self._spent_then > MAX_CPU_SHARE * elapsed:
            return False
        self._drawn_at, self._spent_then = now, spent
        return True


class TextBuffer:
    """Text of the answer that the engine's thread has received and the screen has not drawn yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: list[str] = []
        self._thought: list[str] = []
        self.tokens = 0
        self._first_at: float | None = None

    def reset(self) -> None:
        """Empty the buffer for a new answer."""
        with self._lock:
            self._text, self._thought, self.tokens, self._first_at = [], [], 0, None

    def put(self, event: Text) -> None:
        """Add a piece of text."""
        with self._lock:
            (self._thought if event.is_thought else self._text).append(event.text)
            self.tokens += len(event.tokens)
            if self._first_at is None:
                self._first_at = time.monotonic()

    def take(self) -> tuple[str, str]:
        """Remove and return the text and the thoughts that were added since the last call."""
        with self._lock:
            taken = "".join(self._text), "".join(self._thought)
            self._text, self._thought = [], []
        return taken

    def tokens_per_second(self) -> float | None:
        """Speed of the answer so far; None for fewer than two tokens."""
        first_at, tokens = self._first_at, self.tokens
        if first_at is None or tokens < 2 or (elapsed := time.monotonic() - first_at) <= 0:
            return None
        return (tokens - 1) / elapsed
