"""A conversation a page at a time, as the screen reads it. Knows no widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.chat.conversation import Message
    from edgechat.tui.session.history_store import Keeper


class Pages:
    """The messages of one conversation, in order, from wherever the history is kept at the moment."""

    def __init__(self, keeper: Keeper, conversation: int) -> None:
        self._keeper = keeper
        self._conversation = conversation

    def newest(self, limit: int) -> list[Message]:
        """The last ``limit`` messages."""
        return self._keeper.history.messages(self._conversation, limit)

    def before(self, message: int, limit: int) -> list[Message]:
        """The ``limit`` messages that come before one."""
        return self._keeper.history.messages(self._conversation, limit, before=message)

    def after(self, message: int, limit: int) -> list[Message]:
        """The ``limit`` messages that come behind one."""
        return self._keeper.history.onward(self._conversation, message + 1, limit)

    def around(self, message: int, limit: int) -> list[Message]:
        """One message, half of ``limit`` before it and as many behind it."""
        half = limit // 2
        return [*self.before(message, half), *self._keeper.history.onward(self._conversation, message, limit - half)]
