"""The chat screen's dealings with single messages: go to them, page through them, copy, edit, answer anew."""

from __future__ import annotations

from edgechat.plaintext import clean
from edgechat.tui.screens.chat_part import Talk
from edgechat.tui.session.chat_session import Question
from edgechat.tui.session.message_pages import Pages
from edgechat.tui.widgets.message_view import MessageView
from edgechat.tui.widgets.transcript import OPENED

ONE_AT_A_TIME = "One answer at a time: Esc stops this one."


class MessageActions(Talk):
    """Acts on the last message, or on the one that has the focus."""

    is_answering: bool
    _editing: int | None

    def _begin(self, question: Question) -> None:
        """Ask; the chat screen says how."""

    async def _fork(self, message: int) -> None:
        """Open a copy up to a message; whoever deals with the list says how."""

    @property
    def _pages(self) -> Pages:
        """The conversation on screen, which there has to be."""
        assert self.conversation is not None  # noqa: S101 - nothing was said before there is one
        return Pages(self._keeper, self.conversation.id)

    async def action_regenerate(self) -> None:
        """Answer the last question once more."""
        await self.transcript.to_end()
        answer = next((view for view in reversed(self.transcript.views) if view.message.role != "system"), None)
        if answer is not None:
            self._regenerate(answer)

    def _regenerate(self, view: MessageView) -> None:
        """Take an answer back and give another; a question is answered anew with all behind it gone."""
        if self.is_answering:
            self.banner.say(ONE_AT_A_TIME)
            return
        if view.message.role == "user":
            following = self._pages.after(view.message.id, 1)
            self._begin(Question(None, retract=following[0].id if following else None))
        elif any(each.role == "user" for each in self._pages.before(view.message.id, OPENED)):
            self._begin(Question(None, retract=view.message.id))

    async def action_edit(self) -> None:
        """Change the last question and ask it again."""
        await self.transcript.to_end()
        asked = next((view for view in reversed(self.transcript.views) if view.message.role == "user"), None)
        if asked is not None:
            self._edit(asked)

    def _edit(self, view: MessageView) -> None:
        if self.is_answering:
            self.banner.say(ONE_AT_A_TIME)
            return
        self._editing = view.message.id
        self.composer.reset(clean(view.message.content))
        self.set_focus(self.composer)
        self.banner.say("Enter asks this in place of the old question and all behind it. Esc leaves it as it was.")

    async def action_copy(self) -> None:
        """Copy the last answer."""
        await self.transcript.to_end()
        answer = next((view for view in reversed(self.transcript.views) if view.message.role == "assistant"), None)
        if answer is not None:
            self._copy(answer)

    def _copy(self, view: MessageView) -> None:
        self.app.copy_to_clipboard(view.shown_text)
        # Terminals answer nothing to OSC 52, and tmux drops it unless it is told not to.
        self.notify("Handed to the terminal's clipboard.", timeout=2)

    def action_page(self, step: int) -> None:
        """Scroll the transcript while the field keeps the keys."""
        transcript = self.transcript
        if step < 0:
            transcript.scroll_page_up(animate=False)
            if transcript.scroll_y <= 0:
                self.run_worker(transcript.show_earlier(), group="pages")
        else:
            transcript.scroll_page_down(animate=False)
            if transcript.scroll_y >= transcript.max_scroll_y:
                self.run_worker(transcript.show_later(), group="pages")

    def action_focus_messages(self) -> None:
        """Let keys act on the last message."""
        if views := self.transcript.views:
            self.set_focus(views[-1])

    async def action_act(self, deed: str) -> None:
        """Do something with the message that has the focus."""
        view = self.focused
        if not isinstance(view, MessageView):
            return
        if deed == "copy":
            self._copy(view)
        elif deed == "edit":
            self._edit(view)
        elif deed == "regenerate":
            self._regenerate(view)
            self.set_focus(self.composer)
        elif deed == "fork":
            self.run_worker(self._fork(view.message.id), group="fork", exclusive=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a question can be edited."""
        if action == "act" and parameters == ("edit",):
            return isinstance(self.focused, MessageView) and self.focused.message.role == "user"
        return super().check_action(action, parameters)

    async def action_beside(self, step: int) -> None:
        """Focus the message before or behind the one that has it, fetched if need be; behind the last is the field."""
        transcript, view = self.transcript, self.focused
        if not isinstance(view, MessageView):
            return
        if view is (transcript.views[0] if step < 0 else transcript.views[-1]):
            await (transcript.show_earlier() if step < 0 else transcript.show_later())
        views = transcript.views
        at = views.index(view) + step
        if at >= 0:
            self.set_focus(views[at] if at < len(views) else self.composer)
