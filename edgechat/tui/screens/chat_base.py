"""Base class of the chat screen's action modules: the widgets and methods that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from edgechat.errors import ContextOverflowError, EdgechatError, EngineError
from edgechat.tui.widgets.banner import error_text

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation
    from edgechat.tui.session.history_store import HistoryStore
    from edgechat.tui.widgets.banner import Banner
    from edgechat.tui.widgets.composer import Composer
    from edgechat.tui.widgets.conversation_list import Sidebar
    from edgechat.tui.widgets.message_list import MessageList


class ChatBaseScreen(Screen[None]):
    """A screen with one conversation. The chat screen sets the attributes and implements the empty methods."""

    _store: HistoryStore
    conversation: Conversation | None
    message_list: MessageList
    banner: Banner
    composer: Composer
    sidebar: Sidebar

    async def open(self, number: int | None) -> None:
        """Show conversation ``number``; None shows a new one."""

    async def show_again(self, message: int | None) -> None:
        """Read the conversation again, for another version of it; focus a message unless it is None."""

    def _show_title(self) -> None:
        """Update the title line."""

    def show_error(self, error: EdgechatError) -> None:
        """Show an error in the banner, with what to do about it."""
        if isinstance(error, ContextOverflowError):
            text = (
                f"This chat has become {error.prompt_tokens:,} tokens and the context holds {error.n_ctx:,}. "
                "Begin a new one (Ctrl+N), or fork from an earlier message (Ctrl+↑, f)."
            )
        elif isinstance(error, EngineError):
            text = f"{error_text(error)} What was said is kept; Ctrl+R asks again."
        else:
            text = error_text(error)
        self.banner.show(text, is_error=True)
