"""One message of a conversation: who, what, and for answers how fast; thoughts folded.

Answers are Markdown without links, pictures or HTML: those are shown as they were written, so no text can carry a
link of its own. Everything is cleaned of control characters before it gets here or here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from markdown_it import MarkdownIt
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widgets import Collapsible, Markdown, Static

from edgechat.plaintext import clean
from edgechat.tui.words import answer_facts

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.chat.conversation import Message

_WHO = {"user": "You", "assistant": "Answer", "system": "System"}


_LONGEST_SHOWN = 6000
"""Characters of a question on screen: a pasted log is known to who pasted it, and drawing it takes seconds."""


def plain_parser() -> MarkdownIt:
    """Markdown with tables and strikethrough; links, pictures and HTML stay the text they are."""
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    return parser.disable(["link", "image", "autolink", "html_block", "html_inline", "reference"])


class MessageView(Vertical, can_focus=True):
    """A message that can be focused, and acted on by one letter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "act('copy')", "Copy", id="message.copy", tooltip="Copy this message"),
        Binding("e", "act('edit')", "Edit", id="message.edit", tooltip="Edit this question and ask it again"),
        Binding("r", "act('regenerate')", "Again", id="message.again", tooltip="Answer once more from here"),
        Binding("f", "act('fork')", "Fork", id="message.fork", tooltip="A new conversation up to here"),
        Binding("t", "thoughts", "Thoughts", id="message.thoughts", tooltip="Unfold or fold the thoughts"),
        Binding("up", "act('up')", "Previous", show=False, id="message.up"),
        Binding("down", "act('down')", "Next", show=False, id="message.down"),
    ]

    DEFAULT_CSS = """
    MessageView { height: auto; padding: 0 1; margin: 0 0 1 0; border-left: blank; }
    MessageView:focus { border-left: thick $accent; }
    MessageView .who { color: $text-muted; text-style: bold; height: 1; }
    MessageView.-user .who { color: $text-primary; }
    MessageView.-user .said { color: $foreground; }
    MessageView .facts { color: $text-muted; height: auto; display: none; }
    MessageView Markdown { padding: 0; margin: 0; background: transparent; }
    MessageView MarkdownFence { margin: 0 0 1 0; max-height: 200; }
    MessageView Collapsible { border: none; padding: 0; margin: 0; background: transparent; color: $text-muted; }
    MessageView Collapsible CollapsibleTitle { padding: 0; }
    MessageView Collapsible Contents { padding: 0 0 0 2; }
    """

    class Act(TextualMessage):
        """The person wants something done with this message."""

        def __init__(self, view: MessageView, deed: str) -> None:
            super().__init__()
            self.view = view
            self.deed = deed

    def __init__(self, message: Message) -> None:
        super().__init__(classes=f"-{message.role}")
        self.message = message
        self._is_streaming = message.status == "streaming"
        self._body = Markdown(parser_factory=plain_parser, open_links=False)
        self._thought_text = clean(message.thought)
        self._thoughts = Static(Content(self._thought_text), markup=False)
        self._fold = Collapsible(self._thoughts, title="Thoughts", collapsed=True)
        self._facts = Static("", markup=False, classes="facts")

    def compose(self) -> ComposeResult:
        """Who, thoughts, text, facts."""
        yield Static(Content(_WHO[self.message.role]), markup=False, classes="who")
        if self.message.role == "user":
            yield Static(Content(_shortened(clean(self.message.content))), markup=False, classes="said")
            return
        yield self._fold
        yield self._body
        yield self._facts

    async def on_mount(self) -> None:
        """Show what there is already."""
        self._fold.display = bool(self._thought_text)
        if self.message.role != "user":
            if self.message.content:
                await self._body.update(clean(self.message.content))
            self._show_facts()

    async def add(self, text: str, thought: str) -> None:
        """Append what just came; only the last block is parsed again."""
        if thought:
            self._thought_text += thought
            self._thoughts.update(Content(self._thought_text))
            self._fold.display = True
        if text:
            await self._body.append(text)

    def finish(self, message: Message) -> None:
        """The answer is over, and ``message`` is what was kept of it."""
        self.message = message
        self._show_facts()

    @property
    def shown_text(self) -> str:
        """The Markdown source on screen."""
        return clean(self.message.content) if self.message.role == "user" else self._body.source

    def _show_facts(self) -> None:
        facts = answer_facts(self.message) if self.message.status != "streaming" else ""
        self._facts.update(Content(facts))
        self._facts.display = bool(facts)

    def action_act(self, deed: str) -> None:
        """Ask the screen to do it."""
        self.post_message(self.Act(self, deed))

    def action_thoughts(self) -> None:
        """Fold or unfold the thoughts."""
        self._fold.collapsed = not self._fold.collapsed

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what this message can do."""
        if action == "thoughts":
            return bool(self._thought_text)
        if action == "act" and parameters == ("edit",):
            return self.message.role == "user"
        return True


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}… ({len(text) - _LONGEST_SHOWN:,} more characters)"
