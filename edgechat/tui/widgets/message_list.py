"""The messages of one conversation, newest last, as a window: a long conversation costs no more than a short one.

Scrolling up adds older messages, scrolling down newer ones; messages far away are removed. The history is read in
pages.
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
    from edgechat.tui.session.history_store import MessagePages

INITIAL = 10
"""Messages shown when a conversation is opened: usually at least one screen."""
PAGE = 20
"""Messages read at a time; the first page is read after the first frame."""
MAX_MOUNTED = 60
"""Messages in the window: a drawn message takes about one megabyte, most of it Textual's lines."""

_SECOND_PAGE_AFTER_S = 0.15
"""Time for the first frame of a conversation before the next page is read."""


class MessageList(VerticalScroll, can_focus=False):
    """The messages, and notes above and below them when there are more."""

    DEFAULT_CSS = """
    MessageList { height: 1fr; padding: 0; scrollbar-size-vertical: 1; }
    MessageList .more { color: $text-muted; height: 1; padding: 0 1; display: none; text-align: center; }
    MessageList #welcome { color: $text-muted; height: auto; padding: 1 2; }
    """

    # Without layout and repaint: they would cost a layout and a whole frame for every line that an answer grows.
    # The scroll bar requests both itself when it appears or disappears.
    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)

    def __init__(self) -> None:
        super().__init__(id="transcript")
        self._pages: MessagePages | None = None
        self.has_earlier = False
        self.has_later = False
        self._is_loading = False
        self._welcome = Static("", id="welcome", markup=False)
        self._earlier = Static(Content("▲ earlier messages: scroll up"), id="earlier", classes="more", markup=False)
        self._later = Static(Content("▼ later messages: scroll down"), id="later", classes="more", markup=False)

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - generator of widgets
        """Yield the welcome text and the two notes."""
        yield self._welcome
        yield self._earlier
        yield self._later

    @property
    def views(self) -> list[MessageView]:
        """The messages in the window, oldest first."""
        return [child for child in self.children if isinstance(child, MessageView)]

    # Opening

    async def open(self, newest: list[Message], pages: MessagePages | None, welcome: str) -> None:
        """Show a conversation.

        Args:
            newest: its last messages, up to ``INITIAL``.
            pages: reads the others; None for a new conversation.
            welcome: shown while there is no message.
        """
        self._pages = pages
        self._welcome.update(Content(welcome))
        await self._replace(newest, has_earlier=len(newest) >= INITIAL)
        self.anchor()
        if self.has_earlier:
            self.set_timer(_SECOND_PAGE_AFTER_S, self.show_earlier)

    def set_pages(self, pages: MessagePages) -> None:
        """Set what reads the messages, once the conversation is saved."""
        self._pages = pages

    async def to_end(self) -> None:
        """Show the newest messages."""
        if self.has_later and self._pages is not None:
            newest = self._pages.newest(PAGE)
            await self._replace(newest, has_earlier=len(newest) >= PAGE)
        self.anchor()

    async def show(self, message: int) -> None:
        """Scroll to a message anywhere in the conversation, and focus it."""
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
            await self.mount_all([self._view_of(message) for message in messages], before=self._later)

    def _view_of(self, message: Message) -> MessageView:
        place = self._pages.version(message.id) if self._pages is not None and message.id else (1, 1)
        return MessageView(message, version=place)

    # Growing

    async def add(self, message: Message) -> MessageView | None:
        """Append a message; returns its view, or None when the app is closing."""
        if not self.is_attached:
            return None
        if self.has_later and self._pages is not None:
            before = self._pages.before(message.id, INITIAL)
            await self._replace(before, has_earlier=len(before) >= INITIAL)
        self._welcome.display = False
        view = self._view_of(message)
        await self.mount(view, before=self._later)
        await self._drop_oldest()
        self.anchor()
        return view

    async def remove_from(self, message: int) -> None:
        """Remove a message and all after it from the screen."""
        for view in [view for view in self.views if view.message.id >= message]:
            await view.remove()
            self._mark(has_later=False)

    # Scrolling

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Read more messages when an end of the window becomes visible."""
        super().watch_scroll_y(old, new)
        if new < 1 and old > new:
            self.call_later(self.show_earlier)
        elif new > old and new >= self.max_scroll_y:
            self.call_later(self.show_later)

    async def show_earlier(self) -> bool:
        """Add a page of older messages; returns False when there is none."""
        views = self.views
        if not self.has_earlier or self._is_loading or self._pages is None or not views:
            return False
        self._is_loading = True
        try:
            older = self._pages.before(views[0].message.id, PAGE)
            self._mark(has_earlier=len(older) >= PAGE)
            if not older:
                return False
            position = self._scroll_position()
            await self.mount_all([self._view_of(message) for message in older], before=views[0])
            await self._drop_newest()
            if self.is_anchored and not self._anchor_released:
                # The end is visible and stays so. Scrolling before the layout would release the anchor.
                self.anchor()
            else:
                self.call_after_refresh(self._restore_position, *position)
            return True
        finally:
            self._is_loading = False

    async def show_later(self) -> bool:
        """Add a page of newer messages; returns False when there is none."""
        views = self.views
        if not self.has_later or self._is_loading or self._pages is None or not views:
            return False
        self._is_loading = True
        try:
            newer = self._pages.after(views[-1].message.id, PAGE)
            self._mark(has_later=len(newer) >= PAGE)
            position = self._scroll_position()
            await self.mount_all([self._view_of(message) for message in newer], before=self._later)
            await self._drop_oldest()
            if not self.has_later:
                # From now on, scrolling to the end anchors the view there again.
                self.anchor()
                self.release_anchor()
            self.call_after_refresh(self._restore_position, *position)
            return bool(newer)
        finally:
            self._is_loading = False

    def _scroll_position(self) -> tuple[MessageView, float]:
        """The first visible message, and how many lines below the upper edge it starts."""
        views = self.views
        top = next((view for view in views if view.virtual_region.bottom > self.scroll_y), views[-1])
        return top, top.virtual_region.y - self.scroll_y

    def _restore_position(self, view: MessageView, below: float) -> None:
        """Scroll so that a message is where it was before messages were added above it."""
        self.scroll_to(y=view.virtual_region.y - below, animate=False)

    async def _drop_oldest(self) -> None:
        if surplus := self.views[:-MAX_MOUNTED]:
            await self.remove_children(surplus)
            self._mark(has_earlier=True)

    async def _drop_newest(self) -> None:
        views = self.views
        surplus = views[MAX_MOUNTED:]
        # An answer that still grows stays mounted: its new text is appended to its view.
        if surplus and views[-1].message.status != "streaming":
            await self.remove_children(surplus)
            self.anchor(anchor=False)
            self._mark(has_later=True)

    def _mark(self, *, has_earlier: bool | None = None, has_later: bool | None = None) -> None:
        if has_earlier is not None:
            self.has_earlier = self._earlier.display = has_earlier
        if has_later is not None:
            self.has_later = self._later.display = has_later
