"""One line with the engine's current step and speed, and the context gauge. Its fixed words are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean_line
from edgechat.tui.context_gauge import NOTHING_TRIMMED, TrimForecast, gauge_text

if TYPE_CHECKING:
    from textual.app import ComposeResult


WAITING, READING, STOPPING = "waiting for the engine", "reading", "stopping"
_NEARLY_FULL = 0.85
"""Share of the context in use from which the gauge warns."""


class StatusLine(Horizontal):
    """State on the left, context gauge on the right."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 1; color: $text-muted; }
    StatusLine #doing { width: 1fr; height: 1; }
    StatusLine #gauge { width: auto; height: 1; }
    StatusLine #gauge.-full { color: $text-warning; text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._doing = Static("", id="doing", markup=False)
        self._gauge = Static("", id="gauge", markup=False)
        self.text = ""

    def compose(self) -> ComposeResult:
        """Yield both halves."""
        yield self._doing
        yield self._gauge

    def show(self, text: str) -> None:
        """Show the current step; redrawn only when it changes."""
        text = clean_line(text)
        if text != self.text:
            self.text = text
            self._doing.update(Content(text), layout=False)

    def show_speed(self, tokens_per_second: float, *, is_thinking: bool) -> None:
        """Show how fast the answer, or the model's thought before it, is generated."""
        self.show(f"{'thinking' if is_thinking else 'answering'} · {tokens_per_second:.0f} tok/s · Esc stops")

    def show_context(self, used: int, n_ctx: int, forecast: TrimForecast = NOTHING_TRIMMED) -> None:
        """Show the gauge; for the arguments see :func:`edgechat.tui.context_gauge.gauge_text`."""
        self._gauge.update(Content(gauge_text(used, n_ctx, forecast)))
        self._gauge.set_class(n_ctx > 0 and used >= _NEARLY_FULL * n_ctx, "-full")
