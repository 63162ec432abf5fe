"""The log of answers that a board's owner may ask for (``log_answers``): one JSON line each, bounded, private.

``redacted`` notes sizes, hashes and timing; only ``full`` keeps what was asked and answered. Off unless the
configuration says otherwise. Where it cannot be written, answers go on and the engine's own log says so once.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Done, Started, Text
from edgechat.engine.state import log

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request

MAX_BYTES = 4 * 1024 * 1024
"""Of the file and of the one before it; the oldest lines go."""
_LONGEST_TEXT = 64 * 1024
"""Characters kept of one message or answer."""
CLOCK_IS_UNSET_BEFORE_S = 1_735_689_600.0
"""2025-01-01T00:00Z: a board without a clock of its own that shows less was not told the time since it got power."""


class AnswerLog:
    """Notes each answer when it has ended.

    Thread-safe: the listener hears of requests and of clients that leave, the decode loop of what was answered.

    Args:
        state: the state directory; None where nothing is noted.
        mode: ``off``, ``redacted`` or ``full``.
    """

    def __init__(self, state: Path | None, mode: str) -> None:
        self._file = None if state is None or mode == "off" else log.answers(state)
        self._is_full = mode == "full"
        self._open: dict[tuple[int, int], dict[str, Any]] = {}
        self._texts: dict[tuple[int, int], list[str]] = {}
        self._has_complained = False
        self._lock = threading.Lock()

    def asked(self, client: int, request_id: int, request: Request) -> None:
        """A request came."""
        if self._file is None:
            return
        key = (client, request_id)
        now = time.time()
        entry = {
            "at": round(now, 3) if now >= CLOCK_IS_UNSET_BEFORE_S else None,
            "messages": [self._shown(each.role, each.content) for each in request.messages]
            + [self._shown("text", each) for each in request.texts],
            "constraint": next(iter(request.constraint), None) if request.constraint else None,
            "max_tokens": request.max_tokens,
            "sampling": request.sampling,
            "resumed_tokens": len(request.resume),
        }
        with self._lock:
            self._open[key], self._texts[key] = entry, []

    def note(self, client: int, request_id: int, event: Event) -> None:
        """Something of the answer was sent."""
        if self._file is None:
            return
        key = (client, request_id)
        with self._lock:
            if (entry := self._open.get(key)) is None:
                return
            if isinstance(event, Started):
                entry["model"] = f"{event.model}:{event.quant}"
            elif isinstance(event, Text):
                self._texts[key].append(event.text)
            elif isinstance(event, Done):
                self._end(key, event.finish_reason, usage=event.usage, timing=event.timing, seed=event.seed)

    def failed(self, client: int, request_id: int, error: str) -> None:
        """The request was refused, by an error of this class."""
        with self._lock:
            self._end((client, request_id), "error", error=error)

    def gone(self, client: int) -> None:
        """The client has left; what it had asked for and not seen the end of is noted as such."""
        with self._lock:
            for key in [key for key in self._open if key[0] == client]:
                self._end(key, "client left")

    def _shown(self, role: str, text: str) -> dict[str, Any]:
        if self._is_full:
            return {"role": role, "content": text[:_LONGEST_TEXT]}
        # The hash tells the owner whether two prompts were the same; that of a short one can be guessed.
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return {"role": role, "characters": len(text), "sha256": digest}

    def _end(self, key: tuple[int, int], reason: str, **facts: Any) -> None:
        entry, texts = self._open.pop(key, None), self._texts.pop(key, [])
        if entry is None:
            return
        entry |= {"finish_reason": reason, "answer": self._shown("assistant", "".join(texts)), **facts}
        try:
            self._append(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                print(f"Cannot write {self._file}: {error.strerror}.", file=sys.stderr)  # noqa: T201 - the engine's log

    def _append(self, line: bytes) -> None:
        if self._file is None:
            return
        if self._file.exists() and self._file.stat().st_size + len(line) > MAX_BYTES:
            self._file.replace(self._file.with_suffix(".log.1"))
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
