"""The input field for questions: several lines, earlier questions with the arrow keys, attachments.

The terminal's cursor stays at the caret, so that an input method opens its window there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from edgechat.chat.conversation import Attachment
from edgechat.plaintext import clean
from edgechat.tui.widgets.line_input import OrderedKeys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events

PASTE_LINES, PASTE_CHARS = 12, 1500
"""A paste with more lines or characters becomes an attachment: the field shows only eight lines."""
_MAX_EARLIER = 200
"""Earlier questions that the up key brings back."""


class Composer(OrderedKeys, TextArea):
    """The input field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="composer.send", tooltip="Ask the question"),
        Binding(
            "ctrl+j,shift+enter,alt+enter",
            "newline",
            "New line",
            key_display="^j",
            id="composer.newline",
            show=False,
            tooltip="Start a new line",
        ),
    ]

    DEFAULT_CSS = """
    Composer {
        height: auto; min-height: 1; max-height: 8; padding: 0 1; border: none;
        border-left: thick $primary; background: $surface;
    }
    Composer:focus { border: none; border-left: thick $accent; }
    """

    @dataclass
    class Sent(Message):
        """The user asks. ``text`` is cleaned; ``typed`` is the text of the field."""

        text: str
        typed: str
        attachments: tuple[Attachment, ...]

    @dataclass
    class AttachmentsChanged(Message):
        """An attachment was added or removed."""

        attachments: tuple[Attachment, ...]

    def __init__(self) -> None:
        super().__init__(
            id="composer",
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            highlight_cursor_line=False,
            placeholder="Ask something. Enter sends, Ctrl+J begins a new line.",
            compact=True,
        )
        # A blinking caret costs two frames a second, which is slow over a slow link.
        self.cursor_blink = False
        for key in ("f6", "f7"):
            # The text area selects with these keys, and the next letter would replace the draft. The chat has them.
            self._bindings.key_to_bindings.pop(key, None)
        self.attachments: tuple[Attachment, ...] = ()
        self._earlier: list[str] = []
        self._index = 0
        self._draft = ""

    def action_copy(self) -> None:
        """Copy the selection. Without one, Ctrl+C is probably meant to quit: name the keys that stop and quit."""
        if self.selection.is_empty:
            self.notify("Ctrl+Q leaves edgechat, Esc stops an answer.")
        else:
            super().action_copy()

    # Sending

    def action_send(self) -> None:
        """Send the text with its attachments, unless both are empty."""
        text = clean(self.text).strip()
        if not text and not self.attachments:
            return
        self.post_message(self.Sent(text, self.text, self.attachments))

    def action_newline(self) -> None:
        """Insert a line break."""
        start, end = self.selection
        self._replace_via_keyboard("\n", start, end)

    def accept(self, typed: str) -> None:
        """Remember a question that was sent, and remove it from the field; text typed since stays."""
        text = clean(typed).strip()
        if text:
            self.remember([text])
        self.reset(self.text.removeprefix(typed))

    def reset(self, text: str = "", attachments: tuple[Attachment, ...] = ()) -> None:
        """Replace the text and the attachments."""
        self.text = text
        self.move_cursor(self.document.end)
        self._set_attachments(attachments)
        self._index, self._draft = len(self._earlier), ""

    # Attachments

    def attach(self, attachment: Attachment) -> None:
        """Add an attachment."""
        self._set_attachments((*self.attachments, attachment))

    def _set_attachments(self, attachments: tuple[Attachment, ...]) -> None:
        if attachments != self.attachments:
            self.attachments = attachments
            self.post_message(self.AttachmentsChanged(attachments))

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert a short paste, attach a long one; control characters are removed."""
        event.prevent_default()
        event.stop()
        text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        lines = text.count("\n") + 1
        if lines > PASTE_LINES or len(text) > PASTE_CHARS:
            self.attach(Attachment(f"Pasted text ({lines:,} lines)", text))
            return
        start, end = self.selection
        if (result := self._replace_via_keyboard(text, start, end)) is not None:
            self.move_cursor(result.end_location)

    def action_delete_left(self) -> None:
        """Delete to the left; at the very beginning, remove the last attachment."""
        if self.attachments and self.cursor_location == (0, 0) and self.selection.is_empty:
            self._set_attachments(self.attachments[:-1])
            return
        super().action_delete_left()

    # Earlier questions

    @property
    def earlier(self) -> tuple[str, ...]:
        """The questions that the up key brings back, oldest first, and the draft that it replaced for now."""
        return (*self._earlier, self._draft)

    def remember(self, questions: Iterable[str]) -> None:
        """Add questions, oldest first, that the up key brings back."""
        self._earlier = [*self._earlier, *questions][-_MAX_EARLIER:]
        self._index = len(self._earlier)

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up; on the first line, show the previous question."""
        if select or not self._is_at_edge(0) or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Move down; on the last line, show the next question."""
        if select or not self._is_at_edge(self.wrapped_document.height - 1) or not self._recall(+1):
            super().action_cursor_down(select)

    def _is_at_edge(self, line: int) -> bool:
        return self.wrapped_document.location_to_offset(self.cursor_location).y == line

    def _recall(self, step: int) -> bool:
        at = self._index + step
        if not 0 <= at <= len(self._earlier):
            return False
        if self._index == len(self._earlier):
            self._draft = self.text
        self._index = at
        self.text = self._earlier[at] if at < len(self._earlier) else self._draft
        self.move_cursor(self.document.end)
        return True

    # The terminal's cursor

    def on_resize(self) -> None:
        """Follow the field when it moves or grows."""
        self.place_cursor()

    def place_cursor(self) -> None:
        """Put the terminal's cursor at the caret after the next layout."""
        self.call_after_refresh(self._place_cursor)

    def _place_cursor(self) -> None:
        if self.has_focus:
            self.app.cursor_position = self.cursor_screen_offset
