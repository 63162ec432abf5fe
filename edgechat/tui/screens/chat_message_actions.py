"""Chat screen actions on messages: focus, scroll, copy, edit, regenerate, fork."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.plaintext import clean
from edgechat.tui.screens.chat_base import ChatBaseScreen
from edgechat.tui.session.chat_session import Question
from edgechat.tui.session.history_store import MessagePages
from edgechat.tui.widgets.message_list import INITIAL
from edgechat.tui.widgets.message_view import MessageView

if TYPE_CHECKING:
    from edgechat.chat.conversation import Attachment

ONE_AT_A_TIME = "One answer at a time: Esc stops this one."


class MessageActions(ChatBaseScreen):
    """Acts on the last message or on the focused one."""

    is_answering: bool
    _editing: int | None
    _draft: tuple[str, tuple[Attachment, ...]]

    def _begin(self, question: Question) -> None:
        """Ask a question; implemented by the chat screen."""

    async def _fork(self, message: int) -> None:
        """Open a copy of the conversation up to a message; implemented by ConversationActions."""

    @property
    def _pages(self) -> MessagePages:
        """Reads the conversation on screen; there must be one."""
        assert self.conversation is not None  # noqa: S101 - a message belongs to a conversation
        return MessagePages(self._store, self.conversation.id)

    async def action_regenerate(self) -> None:
        """Answer the last question once more."""
        await self.message_list.to_end()
        answer = next((view for view in reversed(self.message_list.views) if view.message.role != "system"), None)
        if answer is not None:
            self._regenerate(answer)

    def _regenerate(self, view: MessageView) -> None:
        """Make another version of an answer; for a question, of the answer to it. What followed stays in the other."""
        if self.is_answering:
            self.banner.show(ONE_AT_A_TIME)
            return
        if self.conversation is None:
            return  # the screen is being emptied for a new conversation
        if view.message.role == "user":
            following = self._pages.after(view.message.id, 1)
            self._begin(Question(None, replaces=following[0].id if following else None))
        elif any(each.role == "user" for each in self._pages.before(view.message.id, INITIAL)):
            self._begin(Question(None, replaces=view.message.id))

    async def action_version(self, step: int) -> None:
        """Show another version of the focused message, or of the last one that has several."""
        if self.is_answering:
            self.banner.show(ONE_AT_A_TIME)
            return
        view = self.focused if isinstance(self.focused, MessageView) else None
        if view is None:
            view = next((each for each in reversed(self.message_list.views) if each.n_versions > 1), None)
        if view is None or view.n_versions < 2:
            self.banner.show("There is one version. Answering again (r) and editing (e) keep the earlier ones.")
            return
        known = self._store.history.versions(view.message.id)
        at = known.index(view.message.id) + step
        if not 0 <= at < len(known):
            self.banner.show(f"This is the {'first' if step < 0 else 'last'} of {len(known)} versions.")
            return
        has_focus = view.has_focus
        try:
            self._store.choose(known[at])
            await self.show_again(known[at] if has_focus else None)
        except EdgechatError as error:
            self.show_error(error)

    async def action_edit(self) -> None:
        """Change the last question and ask it again."""
        await self.message_list.to_end()
        asked = next((view for view in reversed(self.message_list.views) if view.message.role == "user"), None)
        if asked is not None:
            self._edit(asked)

    def _edit(self, view: MessageView) -> None:
        if self.is_answering:
            self.banner.show(ONE_AT_A_TIME)
            return
        if self._editing is None:
            self._draft = (self.composer.text, self.composer.attachments)
        self._editing = view.message.id
        self.composer.reset(clean(view.message.content), view.message.attachments)
        self.set_focus(self.composer)
        self.banner.show("Enter asks this as another version; ← → on the question switch between them. Esc cancels.")

    def _restore_draft(self) -> None:
        """Put back what was in the field before a question was edited."""
        text, attachments = self._draft
        self._draft = ("", ())
        if text or attachments:
            self.composer.reset(text, attachments)

    async def action_copy(self) -> None:
        """Copy the last answer."""
        await self.message_list.to_end()
        answer = next((view for view in reversed(self.message_list.views) if view.message.role == "assistant"), None)
        if answer is not None:
            self._copy(answer)

    def _copy(self, view: MessageView) -> None:
        self.app.copy_to_clipboard(view.shown_text)
        # A terminal does not confirm OSC 52, and tmux ignores it unless it is configured.
        self.notify("Copied to the terminal's clipboard.")

    def action_page(self, step: int) -> None:
        """Scroll the messages by a page; the field keeps the focus."""
        messages = self.message_list
        if step < 0:
            messages.scroll_page_up(animate=False)
            if messages.scroll_y <= 0:
                self.run_worker(messages.show_earlier(), group="pages")
        else:
            messages.scroll_page_down(animate=False)
            if messages.scroll_y >= messages.max_scroll_y:
                self.run_worker(messages.show_later(), group="pages")

    def action_focus_messages(self) -> None:
        """Focus the last message."""
        if views := self.message_list.views:
            self.set_focus(views[-1])

    async def action_act(self, command: str) -> None:
        """Run a command on the focused message."""
        view = self.focused
        if not isinstance(view, MessageView):
            return
        if command == "copy":
            self._copy(view)
        elif command == "edit":
            self._edit(view)
        elif command == "regenerate":
            self._regenerate(view)
            self.set_focus(self.composer)
        elif command == "fork":
            self.run_worker(self._fork(view.message.id), group="fork", exclusive=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer ``edit`` only on a question."""
        if action == "act" and parameters == ("edit",):
            return isinstance(self.focused, MessageView) and self.focused.message.role == "user"
        return super().check_action(action, parameters)

    async def action_beside(self, step: int) -> None:
        """Focus the previous or next message, read from the history if needed; after the last one, the field."""
        messages, view = self.message_list, self.focused
        if not isinstance(view, MessageView):
            return
        if view is (messages.views[0] if step < 0 else messages.views[-1]):
            await (messages.show_earlier() if step < 0 else messages.show_later())
        views = messages.views
        at = views.index(view) + step
        if at >= 0:
            self.set_focus(views[at] if at < len(views) else self.composer)
