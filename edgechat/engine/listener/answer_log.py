"""The optional log of answers (``log_answers``): one JSON line for each answer, bounded, readable by the owner only.

``redacted`` records sizes, hashes and timing; ``full`` also records questions and answers. Off by default. Where the
file cannot be written, answers continue and the engine's log says so once.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.events import Done, Started, Text
from edgechat.engine.state import log
from edgechat.files import append

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.engine.protocol.events import Event
    from edgechat.engine.protocol.request import Request

MAX_BYTES = 4 * 1024 * 1024
"""Of the file and of the one before it; the oldest lines are dropped."""
_LONGEST_TEXT = 64 * 1024
"""Characters kept of one message or answer."""
CLOCK_IS_UNSET_BEFORE_S = 1_735_689_600.0
"""2025-01-01T00:00Z: an earlier time means that a board without a clock has not got the time from the network yet."""


class AnswerLog:
    """Writes one line for each answer when it has ended. Thread-safe: the listener and the decode loop call it.

    Args:
        state: the state directory; None writes nothing.
        mode: ``off``, ``redacted`` or ``full``.
    """

    def __init__(self, state: Path | None, mode: str) -> None:
        self._file = None if state is None or mode == "off" else log.answers_path(state)
        self._is_full = mode == "full"
        self._open: dict[tuple[int, int], dict[str, Any]] = {}
        self._texts: dict[tuple[int, int], list[str]] = {}
        self._has_complained = False
        self._lock = threading.Lock()

    def begin(self, client: int, request_id: int, request: Request) -> None:
        """Start the entry of a request; drafts, which may be deleted before they are sent, get none."""
        if self._file is None or request.prefill_only:
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

    def add(self, client: int, request_id: int, event: Event) -> None:
        """Add an event of the answer to its entry."""
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
        """Write the entry of a request that was refused with an error of this class."""
        with self._lock:
            self._end((client, request_id), "error", error=error)

    def client_left(self, client: int) -> None:
        """Write the entries of a client's unfinished requests."""
        with self._lock:
            for key in [key for key in self._open if key[0] == client]:
                self._end(key, "client left")

    def _shown(self, role: str, text: str) -> dict[str, Any]:
        if self._is_full:
            return {"role": role, "content": text[:_LONGEST_TEXT]}
        # The hash shows whether two prompts were the same; a short prompt can be guessed from it.
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
        append(self._file, line)
