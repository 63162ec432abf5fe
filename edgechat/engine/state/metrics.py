"""Counters over all engines of this user: answers, tokens, errors, and latencies of the last 256 answers.

One small file in the state directory, written at most once a minute and when the engine exits, to spare SD cards; a
killed engine loses what it had not yet written. Percentiles are measured values of the last 256 answers.
"""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FILE = "figures.json"
RECENT = 256
_SAVE_EVERY_S = 60.0
_COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens", "forced_tokens")


@dataclass(frozen=True, slots=True)
class Latency:
    """One answer's times in seconds, and its speed."""

    ttft_s: float
    """From arrival to the first token, waiting in the queue included."""
    total_s: float
    decode_tps: float

    def row(self) -> list[float]:
        """The list that the file holds."""
        return [round(self.ttft_s, 4), round(self.total_s, 4), round(self.decode_tps, 2)]


@dataclass(slots=True)
class Metrics:
    """Counters since the file was created."""

    state: Path | None = None
    """The state directory; None keeps the counters in memory only."""
    answers: dict[str, int] = field(default_factory=dict)
    """By finish reason."""
    errors: dict[str, int] = field(default_factory=dict)
    """Refused requests by the class of the error."""
    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    engines: int = 0
    """Number of engines that loaded a model."""
    latencies: deque[Latency] = field(default_factory=lambda: deque(maxlen=RECENT))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_changed: bool = False
    _next_save: float = 0.0

    @classmethod
    def open(cls, state: Path) -> Metrics:
        """Read the counters of earlier engines; start at 0 where the file is missing or damaged."""
        metrics = cls(state)
        kept = read(state)
        metrics.answers = dict(kept.get("answers", {}))
        metrics.errors = dict(kept.get("errors", {}))
        metrics.tokens.update(kept.get("tokens", {}))
        metrics.engines = int(kept.get("engines", 0))
        metrics.latencies.extend(Latency(*row) for row in kept.get("latencies", []))
        return metrics

    def count_load(self) -> None:
        """Count an engine that has loaded a model."""
        with self._lock:
            self.engines += 1
            self._is_changed = True

    def count_refusal(self, kind: str) -> None:
        """Count a request that was refused with an error of this class."""
        with self._lock:
            self.errors[kind] = self.errors.get(kind, 0) + 1
            self._is_changed = True

    def count_answer(self, reason: str, tokens: Sequence[int], latency: Latency | None) -> None:
        """Count an answer that has ended.

        Args:
            reason: ``stop``, ``length``, ``cancelled`` or ``timeout``.
            tokens: prompt, cached, completion and forced tokens.
            latency: None for an answer without a first token.
        """
        with self._lock:
            self.answers[reason] = self.answers.get(reason, 0) + 1
            for name, count in zip(_COUNTS, tokens, strict=True):
                self.tokens[name] += count
            if latency is not None:
                self.latencies.append(latency)
            self._is_changed = True

    def save(self, now: float, *, at_once: bool = False) -> None:
        """Write the file if something changed, at most once a minute; an error of the disk is ignored until then.

        Args:
            now: seconds on the monotonic clock.
            at_once: do not wait for the minute, because the engine exits.
        """
        if self.state is None or not self._is_changed or (now < self._next_save and not at_once):
            return
        self._next_save = now + _SAVE_EVERY_S
        with self._lock:
            kept, self._is_changed = self._kept(), False
        try:
            write_json(self.state / FILE, kept, sync=False)
        except OSError:
            self._is_changed = True  # tried again in a minute

    def to_json(self) -> dict[str, Any]:
        """The form in which ``edgechat ps --json`` and the device report show the counters."""
        with self._lock:
            return summary(self._kept())

    def _kept(self) -> dict[str, Any]:
        return {
            "answers": dict(self.answers),
            "errors": dict(self.errors),
            "tokens": dict(self.tokens),
            "engines": self.engines,
            "latencies": [latency.row() for latency in self.latencies],
        }


def read(state: Path) -> dict[str, Any]:
    """The content of the file; empty where it is missing or damaged."""
    try:
        kept = json.loads((state / FILE).read_text())
        rows = kept["latencies"]
        is_sound = all(len(row) == 3 and all(map(math.isfinite, row)) for row in rows)
        whole = all(isinstance(n, int) for part in ("answers", "errors", "tokens") for n in kept[part].values())
        return kept if is_sound and whole and set(kept["tokens"]) == set(_COUNTS) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def summary(kept: dict[str, Any]) -> dict[str, Any]:
    """The counters, with percentiles in place of single latencies."""
    rows = kept.get("latencies", [])
    return {
        "answers": dict(kept.get("answers", {})),
        "errors": dict(kept.get("errors", {})),
        "tokens": dict(kept.get("tokens", {})),
        "engines": kept.get("engines", 0),
        "latency": {
            "answers": len(rows),
            "ttft_s": percentiles(row[0] for row in rows),
            "total_s": percentiles(row[1] for row in rows),
            "decode_tps": percentiles(row[2] for row in rows if row[2]),
        },
    }


def percentiles(values: Iterable[float]) -> dict[str, float] | None:
    """p50 and p95 by nearest rank, so that both are measured values; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in (("p50", 0.5), ("p95", 0.95))}
