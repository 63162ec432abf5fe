"""Tells on a terminal how far a run over many records has come: one line that is rewritten. Elsewhere it is silent."""

from __future__ import annotations

import sys
import time

REDRAW_S = 0.2
_SMOOTH_S = 30.0
"""The rate is that of about the last half minute: records differ, and boards grow hot."""


class Pace:
    """Rate and remaining time on standard error."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._total: int | None = None
        self._done = self._shown_done = 0
        self._rate = 0.0
        self._drawn_s = self._began_s = time.monotonic()
        self._is_shown = False

    def begin(self, total: int | None, done: int) -> None:
        """There are ``total`` records, about; the first ``done`` cost nothing."""
        self._total, self._skip = total, done
        self._drawn_s = self._began_s = time.monotonic()

    def advance(self, done: int, not_ok: int) -> None:
        """``done`` records are done by now."""
        self._done = done
        now = time.monotonic()
        passed_s = now - self._drawn_s
        if not self._is_terminal or passed_s < REDRAW_S:
            return
        fresh = max(done - max(self._shown_done, self._skip), 0)
        weight = min(passed_s / min(_SMOOTH_S, now - self._began_s), 1.0)
        self._rate += (fresh / passed_s - self._rate) * weight
        self._drawn_s, self._shown_done = now, done
        sys.stderr.write(f"\r\x1b[K{pace_line(done, self._total, self._rate, not_ok)}")
        sys.stderr.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Leave no trace."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_shown = False


def pace_line(done: int, total: int | None, rate: float, not_ok: int) -> str:
    """``812 of 2,000 records, 3.1/s, 6 min 23 s left, 2 not ok``."""
    parts = [f"{done:,} of {total:,} records" if total is not None and total >= done else f"{done:,} records"]
    if rate > 0:
        parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min")
        if total is not None and total > done:
            parts.append(f"{_duration((total - done) / rate)} left")
    if not_ok:
        parts.append(f"{not_ok:,} not ok")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
