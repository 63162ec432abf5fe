"""Chat screen actions on conversations: list, open, rename, delete, undo, fork."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.tui.screens.chat_base import ChatBaseScreen

if TYPE_CHECKING:
    from edgechat.tui.widgets.conversation_list import ConversationList, Sidebar

_WIDE = 110
"""Width in columns from which the list stays open beside the chat."""


class ConversationActions(ChatBaseScreen):
    """Handles the messages of the sidebar."""

    def __init__(self) -> None:
        super().__init__()
        self._deleted: list[tuple[int, bool]] = []
        """Ids of the conversations deleted since the app was opened, and whether each was on screen."""

    async def action_conversations(self) -> None:
        """Open and focus the list; close it when it has the focus."""
        await self.sidebar.mount_content()
        if self.sidebar.display and self.sidebar.has_focus_within:
            self._close_list()
            return
        await self.show_conversations()

    async def show_conversations(self) -> None:
        """Open and focus the list."""
        await self.sidebar.mount_content()
        self.sidebar.display = True
        self.sidebar.reload()
        self.sidebar.list.focus()
        self.composer.place_cursor()

    def _close_list(self) -> None:
        self.sidebar.display = False
        self.sidebar.search.value = ""  # so that the list is complete when it is opened again
        self.composer.focus()
        self.composer.place_cursor()

    async def on_sidebar_chosen(self, event: Sidebar.Chosen) -> None:
        """Open a conversation."""
        try:
            await self.open(event.number)
            if event.message is not None and event.message not in self._store.history.path(event.number):
                self._store.choose(event.message)
                await self.show_again(None)
                self.banner.show("This is another version of the chat; ← → on the message switch between them.")
        except EdgechatError as error:
            self.show_error(error)
            return
        if self.size.width < _WIDE:
            self._close_list()
        if event.message is not None:
            await self.message_list.show(event.message)

    def on_conversation_list_act(self, event: ConversationList.Act) -> None:
        """Rename, delete, undo or fork."""
        if event.command == "undo":
            self.run_worker(self._undo(), group="list")
        elif event.number is None:
            return
        elif event.command == "rename":
            number = event.number
            try:
                title = self._store.history.conversation(number).title
            except EdgechatError as error:
                self.show_error(error)
                return
            from edgechat.tui.dialogs.questions import AskLine  # noqa: PLC0415 - imported when needed

            self.app.push_screen(AskLine("New title", title), lambda title: self._rename(number, title))
        elif event.command == "delete":
            self.run_worker(self._delete(event.number), group="list")
        elif event.command == "fork":
            self.run_worker(self._fork_last(event.number), group="fork", exclusive=True)

    def _rename(self, number: int, title: str | None) -> None:
        if title is None:
            return
        if not title.strip():
            self.banner.show("A title must not be empty; the old one stays.")
            return
        try:
            renamed = self._store.history.rename(number, title)
        except EdgechatError as error:
            self.show_error(error)
            return
        if self.conversation is not None and self.conversation.id == number:
            self.conversation = renamed
            self._show_title()
        self.sidebar.reload()

    async def _delete(self, number: int) -> None:
        try:
            self._store.history.delete(number)
        except EdgechatError as error:
            self.show_error(error)
            return
        was_open = self.conversation is not None and self.conversation.id == number
        self._deleted.append((number, was_open))
        if was_open:
            await self.open(None)
            self.sidebar.list.focus()
        self.sidebar.reload()
        self.banner.show("Deleted. u in the list brings it back.")

    async def _undo(self) -> None:
        if not self._deleted:
            self.banner.show("Nothing was deleted since edgechat was opened.")
            return
        number, was_open = self._deleted[-1]
        try:
            self._store.history.restore(number)
            if was_open and self.conversation is None:
                await self.open(number)
                self.sidebar.list.focus()
        except EdgechatError as error:
            self.show_error(error)
            return
        self._deleted.pop()
        self.sidebar.reload()
        self.banner.show("Restored.")

    async def _fork_last(self, number: int) -> None:
        if last := self._store.history.messages(number, 1):
            await self._fork(last[0].id)
            self.sidebar.reload()

    async def _fork(self, message: int) -> None:
        try:
            forked = self._store.history.fork(message)
            await self.open(forked.id)
        except EdgechatError as error:
            self.show_error(error)
        else:
            self.notify("A new conversation with a copy of all messages up to here.")
