"""A calm line above the input: what went wrong or should be known, and the way out. Esc clears it."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean_line


class Banner(Static):
    """Hidden while it has nothing to say."""

    DEFAULT_CSS = """
    Banner {
        display: none; height: auto; max-height: 50%; padding: 0 1;
        background: $warning-muted; color: $text-warning;
    }
    Banner.-trouble { background: $error-muted; color: $text-error; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.text = ""

    def say(self, text: str, *, is_trouble: bool = False) -> None:
        """Show ``text``; it may come from files or models."""
        self.text = clean_line(text)
        self.set_class(is_trouble, "-trouble")
        self.update(Content(("✕ " if is_trouble else "▪ ") + self.text))
        self.display = bool(self.text)

    def clear(self) -> None:
        """Say nothing."""
        self.text = ""
        self.display = False
