"""What the parts of the chat screen have in common: one conversation on screen, its field, its banner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from edgechat.errors import ContextOverflowError, EdgechatError, EngineError
from edgechat.tui.labels import trouble

if TYPE_CHECKING:
    from edgechat.chat.conversation import Conversation
    from edgechat.tui.session.history_store import Keeper
    from edgechat.tui.widgets.banner import Banner
    from edgechat.tui.widgets.composer import Composer
    from edgechat.tui.widgets.sidebar import Sidebar
    from edgechat.tui.widgets.transcript import Transcript


class Talk(Screen[None]):
    """A screen that shows one conversation."""

    _keeper: Keeper
    conversation: Conversation | None
    transcript: Transcript
    banner: Banner
    composer: Composer
    sidebar: Sidebar

    async def open(self, number: int | None) -> None:
        """Show conversation ``number``, or with None an empty one; the chat screen says how."""

    def _show_title(self) -> None:
        """Bring the title up to date; the chat screen says how."""

    def _explain(self, error: EdgechatError) -> None:
        if isinstance(error, ContextOverflowError):
            words = (
                f"This talk has become {error.prompt_tokens:,} tokens and the context holds {error.n_ctx:,}. "
                "Begin a new one (Ctrl+N), or fork from an earlier message (Ctrl+↑, f)."
            )
        elif isinstance(error, EngineError):
            words = f"{trouble(error)} What was said is kept; Ctrl+R asks again."
        else:
            words = trouble(error)
        self.banner.say(words, is_trouble=True)
