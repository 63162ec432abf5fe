"""One line: what the engine is doing, how fast, and how full the context is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean_line
from edgechat.tui.context_gauge import UNCUT, Outlook
from edgechat.tui.labels import gauge

if TYPE_CHECKING:
    from textual.app import ComposeResult


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
        """Both halves."""
        yield self._doing
        yield self._gauge

    def show(self, text: str) -> None:
        """What is being done; drawn only when it changes."""
        text = clean_line(text)
        if text != self.text:
            self.text = text
            self._doing.update(Content(text), layout=False)

    def show_context(self, used: int, n_ctx: int, outlook: Outlook = UNCUT) -> None:
        """Tokens of the conversation, cells of the context (0: not known), what trimming drops."""
        self._gauge.update(Content(gauge(used, n_ctx, outlook)))
        self._gauge.set_class(n_ctx > 0 and used >= 0.85 * n_ctx, "-full")
