"""The messages of one conversation, newest last: a window on them, so that a long one costs no more than a short one.

Older messages come when the person scrolls up to them. Knows no engine; the history gives it pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Static

from edgechat.tui.widgets.message_view import MessageView

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.chat.conversation import Message

OPENED = 10
"""Messages that a conversation opens with: more than a screen holds, seldom less than one."""
PAGE = 20
"""Messages fetched at a time, the first page of them behind the first frame."""
MOST = 200
"""Messages on screen at most while reading back; the newest go then, and come back with the conversation."""

_BEHIND_S = 0.15
"""Time for the first frame of a conversation before more of it is fetched."""


class Transcript(VerticalScroll, can_focus=False):
    """Messages, and above them how many more there are."""

    DEFAULT_CSS = """
    Transcript { height: 1fr; padding: 0; scrollbar-size-vertical: 1; }
    Transcript #earlier { color: $text-muted; height: 1; padding: 0 1; display: none; text-align: center; }
    Transcript #welcome { color: $text-muted; height: auto; padding: 1 2; }
    """

    # As the container has it, this asks for another layout and another whole frame each time an answer grows by a line;
    # the scroll bar asks for that itself when it comes or goes.
    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self._page: Callable[[int], list[Message]] = lambda _: []
        self._has_earlier = False
        self._is_loading = False
        self._welcome = Static("", id="welcome", markup=False)
        self._earlier = Static(Content("▲ earlier messages: scroll up"), id="earlier", markup=False)

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - generator of widgets
        """What stands above the messages."""
        yield self._welcome
        yield self._earlier

    @property
    def views(self) -> list[MessageView]:
        """The messages on screen, oldest first."""
        return [child for child in self.children if isinstance(child, MessageView)]

    async def open(self, newest: list[Message], page: Callable[[int], list[Message]], welcome: str) -> None:
        """Show a conversation.

        Args:
            newest: its last messages, up to ``OPENED``.
            page: gives those before a message.
            welcome: what to say where there is none.
        """
        with self.app.batch_update():
            await self.remove_children(MessageView)
            self._page = page
            self._welcome.update(Content(welcome))
            self._welcome.display = not newest
            self._set_earlier(has=len(newest) >= OPENED)
            await self.mount_all([MessageView(message) for message in newest])
        self.anchor()
        if self._has_earlier:
            self.set_timer(_BEHIND_S, self.show_earlier)

    async def add(self, message: Message) -> MessageView:
        """Show one more message at the end."""
        self._welcome.display = False
        view = MessageView(message)
        await self.mount(view)
        self.anchor()
        return view

    async def cut(self, message: int) -> None:
        """Take a message and those behind it off the screen."""
        for view in [view for view in self.views if view.message.id >= message]:
            await view.remove()

    async def show(self, message: int) -> None:
        """Bring a message into sight, reading back as far as ``MOST`` allows."""
        while self.views and self.views[0].message.id > message and len(self.views) < MOST:
            if not await self.show_earlier():
                break
        for view in self.views:
            if view.message.id == message:
                self.release_anchor()
                self.call_after_refresh(self.scroll_to_widget, view, top=True, animate=False)
                view.focus(scroll_visible=False)

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Fetch older messages when the top comes in sight."""
        super().watch_scroll_y(old, new)
        if new < 1 and old > new and self._has_earlier and not self._is_loading:
            self._is_loading = True
            self.call_later(self._load_earlier)

    async def show_earlier(self) -> bool:
        """Fetch a page of older messages; False when there is none."""
        if self._has_earlier and not self._is_loading:
            self._is_loading = True
            await self._load_earlier()
            return True
        return False

    async def _load_earlier(self) -> None:
        views = self.views
        try:
            older = self._page(views[0].message.id) if views else []
            self._set_earlier(has=len(older) >= PAGE)
            if not older:
                return
            first = views[0]
            height = self.virtual_size.height
            await self.mount_all([MessageView(message) for message in older], before=first)
            for view in self.views[MOST:]:
                await view.remove()
            if self.is_anchored and not self._anchor_released:
                # The end is in sight and stays so. A scroll of ours before all is laid out would let go of it.
                self.anchor()
                return
            # What was read stays where it was.
            self.call_after_refresh(self._keep_place, height)
        finally:
            self._is_loading = False

    def _keep_place(self, height: int) -> None:
        self.scroll_to(y=self.scroll_y + self.virtual_size.height - height, animate=False)

    def _set_earlier(self, *, has: bool) -> None:
        self._has_earlier = has
        self._earlier.display = has
