"""A line above the input for notices and errors. Esc clears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.errors import EdgechatError


class Banner(Static):
    """Hidden while it is empty."""

    DEFAULT_CSS = """
    Banner {
        display: none; height: auto; max-height: 50%; padding: 0 1;
        background: $warning-muted; color: $text-warning;
    }
    Banner.-error { background: $error-muted; color: $text-error; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.text = ""

    def show(self, text: str, *, is_error: bool = False) -> None:
        """Show ``text``, cleaned: it may come from files or models."""
        self.text = clean_line(text)
        self.set_class(is_error, "-error")
        self.update(Content(("✕ " if is_error else "▪ ") + self.text))
        self.display = bool(self.text)

    def show_error(self, error: EdgechatError) -> None:
        """Show an error and what to do about it."""
        self.show(error_text(error), is_error=True)

    def clear(self) -> None:
        """Empty and hide it."""
        self.text = ""
        self.display = False


def error_text(error: EdgechatError) -> str:
    """An error's message and hint on one line."""
    return clean_line(f"{error.message} {error.hint}")
