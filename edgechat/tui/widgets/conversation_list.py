"""The list of conversations with its search field. The history is read in a thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
from edgechat.tui.widgets.choice_list import ChoiceList
from edgechat.tui.widgets.line_input import LineInput

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation, Hit
    from edgechat.tui.session.history_store import HistoryStore

_SEARCH_DELAY_S = 0.12
"""A search starts this long after the last letter."""
CONVERSATIONS_PER_PAGE = 200
"""Conversations listed at first, and added when the last one is reached: each costs time at every layout."""


class ConversationList(ChoiceList):
    """The list of conversations.

    Its bindings have priority and run one by one: letters typed after ``/`` go to the search field, and a fast ``d``
    among them deletes no conversation.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "act('rename')", "Rename", id="list.rename", priority=True, tooltip="Give it another title"),
        Binding(
            "d,delete", "act('delete')", "Delete", id="list.delete", priority=True, tooltip="Delete it; u undoes it"
        ),
        Binding("u", "act('undo')", "Undo", id="list.undo", priority=True, tooltip="Restore the last deleted one"),
        Binding("f", "act('fork')", "Fork", id="list.fork", priority=True, tooltip="Copy it to a new conversation"),
        Binding("slash", "search", "Search", id="list.search", priority=True, tooltip="Search all conversations"),
        Binding("escape", "screen.stop", "Back", id="list.back", tooltip="Close the list"),
    ]

    @dataclass
    class Act(Message):
        """A command on the highlighted conversation; ``number`` is None in an empty list."""

        number: int | None
        command: str

    def __init__(self, search: Input) -> None:
        super().__init__(markup=False, compact=True)
        self._search = search

    def action_search(self) -> None:
        """Focus the search field at once."""
        self.screen.set_focus(self._search)

    def action_act(self, command: str) -> None:
        """Post the command to the screen."""
        option = self.highlighted_option
        number = None if option is None or option.id is None else int(option.id.partition(".")[0])
        self.post_message(self.Act(number, command))


class SearchLine(LineInput):
    """The search field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "submit", "Go to them", id="search.go", tooltip="Go to the results"),
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

    @dataclass
    class Chosen(Message):
        """Open conversation ``number``, at ``message`` if that is not None."""

        number: int
        message: int | None

    def __init__(self, store: HistoryStore) -> None:
        super().__init__(id="sidebar")
        self._store = store
        self._limit = CONVERSATIONS_PER_PAGE
        self.search = SearchLine(placeholder="Search", compact=True)
        self.list = ConversationList(self.search)
        self._count = Static("", id="count", markup=False)

    async def mount_content(self) -> None:
        """Mount field, list and count at the first use, so that the first frame need not wait for them."""
        if not self.children:
            await self.mount_all([self.search, self.list, self._count])

    def reload(self) -> None:
        """Read the history again."""
        self._find(self.search.value, 0.0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the user types."""
        event.stop()
        self._find(event.value, _SEARCH_DELAY_S)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Focus the results on Enter."""
        event.stop()
        self.list.focus()

    @work(thread=True, group="find", exclusive=True)
    def _find(self, text: str, delay_s: float) -> None:
        worker = get_current_worker()
        time.sleep(delay_s)
        if worker.is_cancelled:
            return
        try:
            if text.strip():
                hits = self._store.history.search(text, 100)
                options = [Option(_hit_line(hit), id=f"{hit.conversation}.{hit.message or 0}") for hit in hits]
            else:
                found = self._store.history.conversations(self._limit)
                options = [Option(_line(each), id=f"{each.id}.0") for each in found]
            what = "found" if text.strip() else "conversation" if len(options) == 1 else "conversations"
            words = f"{len(options)} {what}"
            if len(options) == self._limit and not text.strip():
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
        """List more when the last one is highlighted."""
        event.stop()
        if event.option_index == self._limit - 1 and not self.search.value.strip():
            self._limit += CONVERSATIONS_PER_PAGE
            self.reload()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the conversation on Enter."""
        event.stop()
        number, _, message = str(event.option_id).partition(".")
        self.post_message(self.Chosen(int(number), int(message) or None))


def _line(conversation: Conversation) -> Content:
    title = Content(clean_line(conversation.title) or "Untitled")
    return title if conversation.forked_from is None else Content.assemble(title, (" (fork)", "$text-muted"))


def _hit_line(hit: Hit) -> Content:
    """The title, and below it the snippet with the matches in bold."""
    title = Content(clean_line(hit.title) or "Untitled")
    if hit.message is None:
        return title
    snippet = Content(hit.snippet)
    for start, end in hit.spans:
        snippet = snippet.stylize("bold", start, end)
    return Content.assemble(title, "\n  ", snippet)
