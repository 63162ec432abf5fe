"""The messages of one conversation, newest last: a window on them, so that a long one costs no more than a short one.

Older messages come when the person scrolls up to them, newer ones on the way back; what is far from sight goes. Knows
no engine; the history gives it pages.
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
    from edgechat.chat.conversation import Message
    from edgechat.tui.session.message_pages import Pages

OPENED = 10
"""Messages that a conversation opens with: more than a screen holds, seldom less than one."""
PAGE = 20
"""Messages fetched at a time, the first page of them behind the first frame."""
MOST = 60
"""Messages in the window: one that has been drawn takes about a megabyte, most of it Textual's lines."""

_BEHIND_S = 0.15
"""Time for the first frame of a conversation before more of it is fetched."""


class Transcript(VerticalScroll, can_focus=False):
    """Messages, and above and below them whether there are more."""

    DEFAULT_CSS = """
    Transcript { height: 1fr; padding: 0; scrollbar-size-vertical: 1; }
    Transcript .more { color: $text-muted; height: 1; padding: 0 1; display: none; text-align: center; }
    Transcript #welcome { color: $text-muted; height: auto; padding: 1 2; }
    """

    # As the container has it, this asks for another layout and another whole frame each time an answer grows by a line;
    # the scroll bar asks for that itself when it comes or goes.
    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self._pages: Pages | None = None
        self.has_earlier = False
        self.has_later = False
        self._is_loading = False
        self._welcome = Static("", id="welcome", markup=False)
        self._earlier = Static(Content("▲ earlier messages: scroll up"), id="earlier", classes="more", markup=False)
        self._later = Static(Content("▼ later messages: scroll down"), id="later", classes="more", markup=False)

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - generator of widgets
        """What stands around the messages."""
        yield self._welcome
        yield self._earlier
        yield self._later

    @property
    def views(self) -> list[MessageView]:
        """The messages in the window, oldest first."""
        return [child for child in self.children if isinstance(child, MessageView)]

    # Opening

    async def open(self, newest: list[Message], pages: Pages | None, welcome: str) -> None:
        """Show a conversation.

        Args:
            newest: its last messages, up to ``OPENED``.
            pages: where the others are; None for one that nothing has been said in.
            welcome: what to say where there is none.
        """
        self._pages = pages
        self._welcome.update(Content(welcome))
        await self._replace(newest, has_earlier=len(newest) >= OPENED)
        self.anchor()
        if self.has_earlier:
            self.set_timer(_BEHIND_S, self.show_earlier)

    def read_from(self, pages: Pages) -> None:
        """Where the messages are kept, once there is a conversation."""
        self._pages = pages

    async def to_end(self) -> None:
        """Go back to the newest messages."""
        if self.has_later and self._pages is not None:
            newest = self._pages.newest(PAGE)
            await self._replace(newest, has_earlier=len(newest) >= PAGE)
        self.anchor()

    async def show(self, message: int) -> None:
        """Bring a message into sight, wherever in the conversation it is."""
        if self._pages is not None and all(view.message.id != message for view in self.views):
            found = self._pages.around(message, PAGE)
            at = next((at for at, each in enumerate(found) if each.id >= message), len(found))
            self.anchor(anchor=False)
            await self._replace(found, has_earlier=at >= PAGE // 2, has_later=len(found) - at >= PAGE - PAGE // 2)
        for view in self.views:
            if view.message.id == message:
                self.release_anchor()
                self.call_after_refresh(self.scroll_to_widget, view, top=True, animate=False)
                view.focus(scroll_visible=False)

    async def _replace(self, messages: list[Message], *, has_earlier: bool, has_later: bool = False) -> None:
        with self.app.batch_update():
            await self.remove_children(MessageView)
            self._welcome.display = not messages
            self._mark(has_earlier=has_earlier, has_later=has_later)
            await self.mount_all([MessageView(message) for message in messages], before=self._later)

    # What is said

    async def add(self, message: Message) -> MessageView | None:
        """Show one more message at the end of the conversation; None when the app is about to close."""
        if not self.is_attached:
            return None
        if self.has_later and self._pages is not None:
            before = self._pages.before(message.id, OPENED)
            await self._replace(before, has_earlier=len(before) >= OPENED)
        self._welcome.display = False
        view = MessageView(message)
        await self.mount(view, before=self._later)
        await self._drop_oldest()
        self.anchor()
        return view

    async def cut(self, message: int) -> None:
        """Take a message and those behind it off the screen."""
        for view in [view for view in self.views if view.message.id >= message]:
            await view.remove()
            self._mark(has_later=False)

    # Reading back and on

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Fetch more messages when one end of the window comes in sight."""
        super().watch_scroll_y(old, new)
        if new < 1 and old > new:
            self.call_later(self.show_earlier)
        elif new > old and new >= self.max_scroll_y:
            self.call_later(self.show_later)

    async def show_earlier(self) -> bool:
        """Fetch a page of older messages; False when there is none."""
        views = self.views
        if not self.has_earlier or self._is_loading or self._pages is None or not views:
            return False
        self._is_loading = True
        try:
            older = self._pages.before(views[0].message.id, PAGE)
            self._mark(has_earlier=len(older) >= PAGE)
            if not older:
                return False
            held = self._held()
            await self.mount_all([MessageView(message) for message in older], before=views[0])
            await self._drop_newest()
            if self.is_anchored and not self._anchor_released:
                # The end is in sight and stays so. A scroll of ours before all is laid out would let go of it.
                self.anchor()
            else:
                self.call_after_refresh(self._hold, *held)
            return True
        finally:
            self._is_loading = False

    async def show_later(self) -> bool:
        """Fetch a page of newer messages; False when there is none."""
        views = self.views
        if not self.has_later or self._is_loading or self._pages is None or not views:
            return False
        self._is_loading = True
        try:
            newer = self._pages.after(views[-1].message.id, PAGE)
            self._mark(has_later=len(newer) >= PAGE)
            held = self._held()
            await self.mount_all([MessageView(message) for message in newer], before=self._later)
            await self._drop_oldest()
            if not self.has_later:
                # From here on the end holds again whoever scrolls to it.
                self.anchor()
                self.release_anchor()
            self.call_after_refresh(self._hold, *held)
            return bool(newer)
        finally:
            self._is_loading = False

    def _held(self) -> tuple[MessageView, float]:
        """The first message in sight, and how far below the upper edge it begins."""
        views = self.views
        top = next((view for view in views if view.virtual_region.bottom > self.scroll_y), views[-1])
        return top, top.virtual_region.y - self.scroll_y

    def _hold(self, view: MessageView, below: float) -> None:
        """What was read stays where it was."""
        self.scroll_to(y=view.virtual_region.y - below, animate=False)

    async def _drop_oldest(self) -> None:
        if surplus := self.views[:-MOST]:
            await self.remove_children(surplus)
            self._mark(has_earlier=True)

    async def _drop_newest(self) -> None:
        views = self.views
        surplus = views[MOST:]
        # An answer that still grows stays, whatever it costs: nobody else knows what comes next of it.
        if surplus and views[-1].message.status != "streaming":
            await self.remove_children(surplus)
            self.anchor(anchor=False)
            self._mark(has_later=True)

    def _mark(self, *, has_earlier: bool | None = None, has_later: bool | None = None) -> None:
        if has_earlier is not None:
            self.has_earlier = self._earlier.display = has_earlier
        if has_later is not None:
            self.has_later = self._later.display = has_later
