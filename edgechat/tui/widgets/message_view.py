"""One message of a conversation, with the speed of an answer and its folded thoughts.

A single widget that draws its own lines: a screen full of messages is laid out as fast as a screen of labels, and a
growing answer redraws only the lines that changed. All text is cleaned of control characters here or before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from edgechat.plaintext import clean, clean_line
from edgechat.tui.markdown import Document

if TYPE_CHECKING:
    from textual import events
    from textual.selection import Selection

    from edgechat.chat.conversation import Attachment, Message

_ROLE_LINES = {
    "user": Content.styled("You", "bold $text-primary"),
    "assistant": Content.styled("Answer", "bold $text-muted"),
    "system": Content.styled("System", "bold $text-muted"),
}
_FOLDED, _UNFOLDED = (Content.styled(f"{mark} Thoughts", "$text-muted") for mark in "▶▼")

MAX_WIDTH = 100
"""Columns of a message: longer lines are hard to read."""
_LONGEST_SHOWN = 6000
"""Characters of a question on screen: drawing a long pasted log takes seconds."""


class MessageView(Widget, can_focus=True):
    """A message that can be focused; single letters act on it.

    The bindings have priority and run on the screen before the next key is handled: a letter typed after ``e`` already
    goes to the input field.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "screen.act('copy')", "Copy", id="message.copy", priority=True, tooltip="Copy this message"),
        Binding(
            "e",
            "screen.act('edit')",
            "Edit",
            id="message.edit",
            priority=True,
            tooltip="Edit it and ask again",
        ),
        Binding(
            "r",
            "screen.act('regenerate')",
            "Again",
            id="message.again",
            priority=True,
            tooltip="Answer again from here",
        ),
        Binding(
            "f", "screen.act('fork')", "Fork", id="message.fork", priority=True, tooltip="A new conversation up to here"
        ),
        Binding(
            "left",
            "screen.version(-1)",
            "Versions",
            id="message.earlier_version",
            priority=True,
            key_display="← →",
            tooltip="The version before of this message, and what followed it",
        ),
        Binding(
            "right",
            "screen.version(1)",
            "Next version",
            show=False,
            id="message.later_version",
            priority=True,
            tooltip="The next version of this message",
        ),
        Binding("t", "thoughts", "Thoughts", id="message.thoughts", tooltip="Unfold or fold the thoughts"),
        Binding("escape", "screen.stop", "Back", id="message.back", tooltip="Back to the field"),
        Binding("up", "screen.beside(-1)", "Previous", show=False, id="message.up", priority=True),
        Binding("down", "screen.beside(1)", "Next", show=False, id="message.down", priority=True),
    ]

    DEFAULT_CSS = """
    MessageView {
        width: 100%; height: auto; padding: 0 1; margin: 0 0 1 0; border-left: blank; text-wrap: nowrap;
    }
    MessageView.-user { color: $question-text; }
    MessageView.-assistant { color: $answer-text; }
    MessageView:focus { border-left: thick $accent; }
    """

    # Without layout and repaint: they would lay out and draw the whole screen a second time after each layout.
    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)

    def __init__(self, message: Message, *, version: tuple[int, int] = (1, 1)) -> None:
        super().__init__(classes=f"-{message.role}")
        self.version, self.n_versions = version
        # The text holds no links; searching every line for them would cost time.
        self.auto_links = False
        self.message = message
        self._document = Document("" if message.role == "user" else clean(message.content))
        self._thoughts = clean(message.thought)
        self._is_unfolded = False
        self._width = 0
        self._lines: list[Content] = []
        self._strips: dict[int, Strip] = {}
        self._drawn_width = 0

    def add(self, text: str, thought: str) -> None:
        """Append new text and thoughts."""
        self._thoughts += thought
        if text:
            self._document.append(text)
        if text or thought:
            self._redraw()

    def finish(self, message: Message) -> None:
        """Show the saved message of an answer that has ended."""
        self.message = message
        self._redraw()

    @property
    def shown_text(self) -> str:
        """The Markdown source that is shown."""
        return clean(self.message.content) if self.message.role == "user" else self._document.source

    # Lines

    def _compose_lines(self, width: int) -> list[Content]:
        message = self.message
        width = max(2, min(width, MAX_WIDTH))  # a tiny window leaves no column
        lines = [_ROLE_LINES[message.role]]
        if self.n_versions > 1:
            lines[0] += Content.styled(f"  ◂ {self.version}/{self.n_versions} ▸", "$text-muted")
        if message.role == "user":
            text = Content(_shortened(clean(message.content)))
            chips = [Content.styled(attachment_line(each), "$text-accent") for each in message.attachments]
            return lines + (text.wrap(width) if text else []) + [part for chip in chips for part in chip.wrap(width)]
        if self._thoughts:
            lines.append(_UNFOLDED if self._is_unfolded else _FOLDED)
            if self._is_unfolded:
                wrapped = Content.styled(self._thoughts, "$text-muted").wrap(max(2, width - 2))
                lines += [line.pad_left(2) for line in wrapped]
        lines += self._document.lines(width)
        facts = _answer_facts(message) if message.status != "streaming" else ""
        return lines + (Content.styled(facts, "$text-muted").wrap(width) if facts else [])

    def _redraw(self) -> None:
        """Draw the lines that changed; lay out the screen only when the number of lines changed."""
        if not self._width:
            return
        before, self._lines = self._lines, self._compose_lines(self._width)
        same = next(
            (at for at, (old, new) in enumerate(zip(before, self._lines, strict=False)) if not _is_same(old, new)),
            min(len(before), len(self._lines)),
        )
        self._strips = {at: strip for at, strip in self._strips.items() if at < same}
        if len(before) != len(self._lines):
            self.refresh(layout=True)
        elif same < len(before):
            self.refresh(Region(0, same, self.size.width, len(before) - same))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        """Number of lines at a width of ``width`` cells."""
        if width != self._width:
            self._width, self._lines, self._strips = width, self._compose_lines(width), {}
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """Draw one line; it is cached until it changes."""
        if not 0 <= y < len(self._lines):
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        selection, width = self.text_selection, self.size.width
        if width != self._drawn_width:
            self._drawn_width, self._strips = width, {}
        if selection is None and y in self._strips:
            return self._strips[y]
        line = self._lines[y]
        if selection is not None and (span := selection.get_span(y)) is not None:
            start, end = span
            line = line.stylize("reverse", start, len(line) if end == -1 else end)
        drawn = Visual.to_strips(self, line, width, 1, self.visual_style, apply_selection=False, pad=True)
        strip = drawn[0].apply_offsets(0, y) if drawn else Strip.blank(width, self.visual_style.rich_style)
        if selection is None:
            self._strips[y] = strip
        return strip

    def notify_style_update(self) -> None:
        """Drop the cached lines: the theme or the focus changed their colours."""
        super().notify_style_update()
        self._strips = {}

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text selected with the mouse."""
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    # Actions

    def on_click(self, event: events.Click) -> None:
        """Fold or unfold the thoughts on a click on their line."""
        offset = event.get_content_offset(self)
        if offset is not None and 0 <= offset.y < len(self._lines) and self._lines[offset.y] in (_FOLDED, _UNFOLDED):
            self.action_thoughts()

    def action_thoughts(self) -> None:
        """Fold or unfold the thoughts."""
        self._is_unfolded = not self._is_unfolded
        self._redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer ``thoughts`` only on a message that has some."""
        return bool(self._thoughts) if action == "thoughts" else super().check_action(action, parameters)


def attachment_line(attachment: Attachment) -> str:
    """An attachment on one line: ``report.txt, 12 KB``."""
    size = attachment.size
    shown = f"{size} bytes" if size < 1000 else f"{size / 1000:.0f} KB" if size < 999_500 else f"{size / 1e6:.1f} MB"
    return f"{'▣' if attachment.image else '▤'} {clean_line(attachment.name)}, {shown}"


def _is_same(old: Content, new: Content) -> bool:
    """Whether two lines look the same; ``==`` of contents compares only the text."""
    return old is new or (old.plain == new.plain and old.spans == new.spans)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}… ({len(text) - _LONGEST_SHOWN:,} more characters)"


def _answer_facts(message: Message) -> str:
    """Model, tokens, speed and time to first token of an answer, and why it is incomplete if it is."""
    parts = []
    if message.model:
        parts.append(clean_line(message.model))
    timing, usage = message.timing, message.usage
    if tokens := usage.get("completion_tokens"):
        parts.append(f"{tokens} tokens")
    if speed := timing.get("decode_tps"):
        parts.append(f"{speed:.0f} tok/s" if speed >= 10 else f"{speed:.1f} tok/s")
    if (first := timing.get("ttft_s")) is not None:
        parts.append(f"first after {first:.1f} s")
    if message.status != "complete":
        from edgechat.chat.export import incomplete_reason  # noqa: PLC0415 - the first frame need not wait for it

        parts.append(incomplete_reason(message))
    elif message.finish_reason == "length":
        parts.append("cut at the longest answer allowed; ask it to go on")
    return " · ".join(parts)
