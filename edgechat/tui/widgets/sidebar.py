"""The conversations: listed, searched, opened, renamed, deleted, brought back. A thread asks the history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean_line
from edgechat.tui.widgets.ordered_input import Line

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation, Hit
    from edgechat.tui.session.history_store import Keeper

_PATIENCE_S = 0.12
"""A search waits this long for the next letter."""
_STEP = 200
"""Conversations listed at first, and added whenever the last one is reached: each costs time at every layout."""


class ConversationList(OptionList):
    """The list, with what can be done to its entries.

    Its keys come before everything else, one by one: what is typed behind ``/`` belongs into the search field, and a
    ``d`` among it must not delete a conversation, however fast it came.

    Args:
        search: the field that ``/`` leads to.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "act('rename')", "Rename", id="list.rename", priority=True, tooltip="Give it another title"),
        Binding(
            "d,delete", "act('delete')", "Delete", id="list.delete", priority=True, tooltip="Delete it; u undoes it"
        ),
        Binding("u", "act('undo')", "Undo", id="list.undo", priority=True, tooltip="Bring back what was deleted last"),
        Binding("f", "act('fork')", "Fork", id="list.fork", priority=True, tooltip="A copy that goes its own way"),
        Binding("slash", "search", "Search", id="list.search", priority=True, tooltip="Search all conversations"),
        Binding("escape", "screen.stop", "Back", id="list.back", tooltip="Close the list"),
    ]

    class Act(Message):
        """Something is to be done; ``number`` is None for an empty list."""

        def __init__(self, number: int | None, deed: str) -> None:
            super().__init__()
            self.number = number
            self.deed = deed

    def __init__(self, search: Input) -> None:
        super().__init__(markup=False, compact=True)
        self._search = search

    def action_search(self) -> None:
        """Go to the search field, at once."""
        self.screen.set_focus(self._search)

    def action_act(self, deed: str) -> None:
        """Ask for it."""
        option = self.highlighted_option
        number = None if option is None or option.id is None else int(option.id.partition(".")[0])
        self.post_message(self.Act(number, deed))


class SearchLine(Line):
    """What to look for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Go to them", id="search.go", tooltip="Go to what was found"),
        Binding("escape", "screen.stop", "Close", id="search.close", tooltip="Close the list"),
    ]


class Sidebar(Vertical):
    """A search field above the list."""

    DEFAULT_CSS = """
    Sidebar { width: 30; display: none; border-right: solid $panel; background: $surface; }
    Sidebar Input { margin: 0 0 0 0; }
    Sidebar OptionList { height: 1fr; border: none; padding: 0; background: transparent; }
    Sidebar #count { height: 1; color: $text-muted; padding: 0 1; }
    """

    class Chosen(Message):
        """A conversation is to be opened; at ``message``, when that was found."""

        def __init__(self, number: int, message: int | None) -> None:
            super().__init__()
            self.number = number
            self.message = message

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(id="sidebar")
        self._keeper = keeper
        self._most = _STEP
        self.search = SearchLine(placeholder="Search", compact=True)
        self.list = ConversationList(self.search)
        self._count = Static("", id="count", markup=False)

    async def furnish(self) -> None:
        """Put field, list and count in, when they are first needed: the first frame need not wait for them."""
        if not self.children:
            await self.mount_all([self.search, self.list, self._count])

    def reload(self) -> None:
        """Show what there is now."""
        self._find(self.search.value, 0.0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as letters come."""
        event.stop()
        self._find(event.value, _PATIENCE_S)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to what was found."""
        event.stop()
        self.list.focus()

    @work(thread=True, group="find", exclusive=True)
    def _find(self, text: str, patience_s: float) -> None:
        worker = get_current_worker()
        time.sleep(patience_s)
        if worker.is_cancelled:
            return
        try:
            if text.strip():
                hits = self._keeper.history.search(text, 100)
                options = [Option(_hit_line(hit), id=f"{hit.conversation}.{hit.message or 0}") for hit in hits]
            else:
                found = self._keeper.history.conversations(self._most)
                options = [Option(_line(each), id=f"{each.id}.0") for each in found]
            what = "found" if text.strip() else "conversation" if len(options) == 1 else "conversations"
            words = f"{len(options)} {what}"
            if len(options) == self._most and not text.strip():
                words = f"the newest {len(options)}, more below"
        except EdgechatError as error:
            options, words = [], clean_line(error.message)
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show, options, words)

    def _show(self, options: list[Option], words: str) -> None:
        at = self.list.highlighted
        self.list.clear_options()
        self.list.add_options(options)
        self.list.highlighted = min(at or 0, len(options) - 1) if options else None
        self._count.update(Content(words))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """At the last one of many, list more."""
        event.stop()
        if event.option_index == self._most - 1 and not self.search.value.strip():
            self._most += _STEP
            self.reload()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter opens it."""
        event.stop()
        number, _, message = str(event.option_id).partition(".")
        self.post_message(self.Chosen(int(number), int(message) or None))


def _line(conversation: Conversation) -> Content:
    title = Content(clean_line(conversation.title) or "Untitled")
    return title if conversation.forked_from is None else Content.assemble(title, (" (fork)", "$text-muted"))


def _hit_line(hit: Hit) -> Content:
    """The title, and below it the words that were found."""
    title = Content(clean_line(hit.title) or "Untitled")
    if hit.message is None:
        return title
    snippet = Content(hit.snippet)
    for start, end in hit.spans:
        snippet = snippet.stylize("bold", start, end)
    return Content.assemble(title, "\n  ", snippet)
