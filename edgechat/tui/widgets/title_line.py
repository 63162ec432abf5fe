"""The title line of the chat: the conversation's title, cut to what is left beside the model that answers next."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean_line

_SHORTEST_TITLE = 12
"""Columns of the title that stay when the model's name is long."""


class TitleLine(Static):
    """One line."""

    DEFAULT_CSS = "TitleLine { height: 1; padding: 0 1; background: $panel; color: $text; text-wrap: nowrap; }"

    def __init__(self) -> None:
        super().__init__("", id="title", markup=False)
        self._parts = ("", "", "")

    def show(self, title: str, model: str, more: str) -> None:
        """Show the title, the model that answers next, and what else holds."""
        self._parts = (clean_line(title) or "Untitled", clean_line(model), more)
        self._draw()

    def on_resize(self) -> None:
        """Cut the title anew."""
        self._draw()

    def _draw(self) -> None:
        self.update(Content(title_line(*self._parts, self.content_size.width or 80)))


def title_line(title: str, model: str, more: str, width: int) -> str:
    """The line in ``width`` columns; the title gives way first, then the end of the model's text."""
    end = f" · {model}{more}"
    room = max(_SHORTEST_TITLE, width - Content(end).cell_length)
    shown = Content(title).truncate(room, ellipsis=True).plain
    return Content(f"{shown}{end}").truncate(width, ellipsis=True).plain
