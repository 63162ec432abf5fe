"""Where questions are written: several lines, earlier ones with the arrow keys, large pastes and files as attachments.

The terminal's cursor is kept at the caret, so that an input method opens its window there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from edgechat.plaintext import clean
from edgechat.tui.widgets.ordered_input import KeysInOrder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events

PASTE_LINES, PASTE_CHARS = 12, 1500
"""A paste beyond either is kept beside the text: a page in a field of eight lines helps nobody."""
_REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Attachment:
    """Text that goes along with a question."""

    name: str
    text: str


class Composer(KeysInOrder, TextArea):
    """The input field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="composer.send", tooltip="Ask it"),
        Binding(
            "ctrl+j,shift+enter,alt+enter",
            "newline",
            "New line",
            key_display="^j",
            id="composer.newline",
            show=False,
            tooltip="Begin another line",
        ),
    ]

    DEFAULT_CSS = """
    Composer {
        height: auto; min-height: 1; max-height: 8; padding: 0 1; border: none;
        border-left: thick $primary; background: $surface;
    }
    Composer:focus { border: none; border-left: thick $accent; }
    """

    class Sent(Message):
        """The person asks. ``text`` holds what was attached, too; ``typed`` is what stood in the field."""

        def __init__(self, text: str, typed: str) -> None:
            super().__init__()
            self.text = text
            self.typed = typed

    class AttachmentsChanged(Message):
        """Something was attached or taken off."""

        def __init__(self, attachments: tuple[Attachment, ...]) -> None:
            super().__init__()
            self.attachments = attachments

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
        # A blinking caret costs a frame twice a second, which a slow link feels.
        self.cursor_blink = False
        self.attachments: tuple[Attachment, ...] = ()
        self._earlier: list[str] = []
        self._at = 0
        self._draft = ""

    def action_copy(self) -> None:
        """Copy what is marked; with nothing marked Ctrl+C is a habit of leaving."""
        if self.selection.is_empty:
            self.notify("Ctrl+Q leaves edgechat, Esc stops an answer.", timeout=4)
        else:
            super().action_copy()

    # What is asked

    def action_send(self) -> None:
        """Hand over the text with its attachments; nothing when there is none."""
        text = clean(self.text).strip()
        if not text and not self.attachments:
            return
        parts = [text] if text else []
        parts += [f"{each.name}:\n{each.text}" for each in self.attachments]
        self.post_message(self.Sent("\n\n".join(parts), self.text))

    def action_newline(self) -> None:
        """Begin another line."""
        start, end = self.selection
        self._replace_via_keyboard("\n", start, end)

    def accept(self, typed: str) -> None:
        """The question was taken: remember it, and hold only what was typed since."""
        text = clean(typed).strip()
        if text:
            self.remember([text])
        self.reset(self.text.removeprefix(typed))

    def reset(self, text: str = "") -> None:
        """Hold ``text`` and nothing else."""
        self.text = text
        self.move_cursor(self.document.end)
        self._set_attachments(())
        self._at, self._draft = len(self._earlier), ""

    # Attachments

    def attach(self, name: str, text: str) -> None:
        """Let ``text`` go along with the question."""
        self._set_attachments((*self.attachments, Attachment(name, text)))

    def _set_attachments(self, attachments: tuple[Attachment, ...]) -> None:
        if attachments != self.attachments:
            self.attachments = attachments
            self.post_message(self.AttachmentsChanged(attachments))

    async def _on_paste(self, event: events.Paste) -> None:
        """Small texts are inserted, large ones attached; never obeyed."""
        event.prevent_default()
        event.stop()
        text = clean(event.text.replace("\r\n", "\n").replace("\r", "\n"))
        lines = text.count("\n") + 1
        if lines > PASTE_LINES or len(text) > PASTE_CHARS:
            self.attach(f"Pasted text ({lines:,} lines, {len(text):,} characters)", text)
            return
        start, end = self.selection
        if (result := self._replace_via_keyboard(text, start, end)) is not None:
            self.move_cursor(result.end_location)

    def action_delete_left(self) -> None:
        """Backspace at the very beginning takes the last attachment off."""
        if self.attachments and self.cursor_location == (0, 0) and self.selection.is_empty:
            self._set_attachments(self.attachments[:-1])
            return
        super().action_delete_left()

    # Earlier questions

    def remember(self, questions: Iterable[str]) -> None:
        """Add questions, oldest first, for the up key."""
        self._earlier = [*self._earlier, *questions][-_REMEMBERED:]
        self._at = len(self._earlier)

    def action_cursor_up(self, select: bool = False) -> None:
        """Up; on the first line the question before."""
        if select or not self._is_at_edge(0) or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down; on the last line the question after."""
        if select or not self._is_at_edge(self.wrapped_document.height - 1) or not self._recall(+1):
            super().action_cursor_down(select)

    def _is_at_edge(self, line: int) -> bool:
        return self.wrapped_document.location_to_offset(self.cursor_location).y == line

    def _recall(self, step: int) -> bool:
        at = self._at + step
        if not 0 <= at <= len(self._earlier):
            return False
        if self._at == len(self._earlier):
            self._draft = self.text
        self._at = at
        self.text = self._earlier[at] if at < len(self._earlier) else self._draft
        self.move_cursor(self.document.end)
        return True

    # The terminal's cursor

    def on_resize(self) -> None:
        """The field moved or grew."""
        self.place_cursor()

    def place_cursor(self) -> None:
        """Put the terminal's cursor at the caret after the next layout."""
        self.call_after_refresh(self._place_cursor)

    def _place_cursor(self) -> None:
        if self.has_focus:
            self.app.cursor_position = self.cursor_screen_offset
