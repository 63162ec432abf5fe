"""The chat screen's dealings with the list of conversations: open, rename, delete, bring back, fork."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.tui.screens.chat_part import Talk

if TYPE_CHECKING:
    from edgechat.tui.widgets.sidebar import ConversationList, Sidebar

_WIDE = 110
"""Columns from which the list may stay open beside the chat."""


class ConversationActions(Talk):
    """Handles what the sidebar asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._deleted: list[tuple[int, bool]] = []
        """What was deleted since the app was opened, and whether it was on screen then."""

    async def action_conversations(self) -> None:
        """Go to the list; from there, close it."""
        await self.sidebar.furnish()
        if self.sidebar.display and self.sidebar.has_focus_within:
            self._close_list()
            return
        self.sidebar.display = True
        self.sidebar.reload()
        self.sidebar.list.focus()
        self.composer.place_cursor()

    def _close_list(self) -> None:
        self.sidebar.display = False
        self.sidebar.search.value = ""  # or the next look at the list would show what was found this time
        self.composer.focus()
        self.composer.place_cursor()

    async def on_sidebar_chosen(self, event: Sidebar.Chosen) -> None:
        """Open a conversation."""
        try:
            await self.open(event.number)
        except EdgechatError as error:
            self._explain(error)
            return
        if self.size.width < _WIDE:
            self._close_list()
        if event.message is not None:
            await self.transcript.show(event.message)

    def on_conversation_list_act(self, event: ConversationList.Act) -> None:
        """Rename, delete, bring back, fork."""
        if event.deed == "undo":
            self.run_worker(self._undo(), group="list")
        elif event.number is None:
            return
        elif event.deed == "rename":
            number = event.number
            try:
                title = self._keeper.history.conversation(number).title
            except EdgechatError as error:
                self._explain(error)
                return
            from edgechat.tui.screens.dialogs import AskLine  # noqa: PLC0415 - its widgets come when they are needed

            self.app.push_screen(AskLine("New title", title), lambda title: self._rename(number, title))
        elif event.deed == "delete":
            self.run_worker(self._delete(event.number), group="list")
        elif event.deed == "fork":
            self.run_worker(self._fork_last(event.number), group="fork", exclusive=True)

    def _rename(self, number: int, title: str | None) -> None:
        if title is None:
            return
        if not title.strip():
            self.banner.say("A title needs a letter; the old one stays.")
            return
        try:
            renamed = self._keeper.history.rename(number, title)
        except EdgechatError as error:
            self._explain(error)
            return
        if self.conversation is not None and self.conversation.id == number:
            self.conversation = renamed
            self._show_title()
        self.sidebar.reload()

    async def _delete(self, number: int) -> None:
        try:
            self._keeper.history.delete(number)
        except EdgechatError as error:
            self._explain(error)
            return
        was_open = self.conversation is not None and self.conversation.id == number
        self._deleted.append((number, was_open))
        if was_open:
            await self.open(None)
            self.sidebar.list.focus()
        self.sidebar.reload()
        self.banner.say("Deleted. u in the list brings it back.")

    async def _undo(self) -> None:
        if not self._deleted:
            self.banner.say("Nothing was deleted since edgechat was opened.")
            return
        number, was_open = self._deleted[-1]
        try:
            self._keeper.history.restore(number)
            if was_open and self.conversation is None:
                await self.open(number)
                self.sidebar.list.focus()
        except EdgechatError as error:
            self._explain(error)
            return
        self._deleted.pop()
        self.sidebar.reload()
        self.banner.say("Brought back.")

    async def _fork_last(self, number: int) -> None:
        if last := self._keeper.history.messages(number, 1):
            await self._fork(last[0].id)
            self.sidebar.reload()

    async def _fork(self, message: int) -> None:
        try:
            forked = self._keeper.history.fork(message)
            await self.open(forked.id)
        except EdgechatError as error:
            self._explain(error)
        else:
            self.notify("A new conversation, the same up to here.", timeout=3)
