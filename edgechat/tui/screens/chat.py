"""The chat screen: one conversation, the input field, and the status of the engine.

Questions run in a worker thread (``session/chat_session.py``), which sends Textual messages to this screen. Actions on
conversations, messages and files are in the ``chat_*_actions`` modules beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from edgechat.plaintext import clean
from edgechat.tui.redraw_rate import MIN_INTERVAL_S, RedrawRate
from edgechat.tui.screens.chat_conversation_actions import ConversationActions
from edgechat.tui.screens.chat_draft_reading import DraftReading
from edgechat.tui.screens.chat_file_actions import FileActions
from edgechat.tui.screens.chat_message_actions import ONE_AT_A_TIME, MessageActions
from edgechat.tui.screens.chat_model_actions import ModelActions
from edgechat.tui.screens.chat_settings_actions import SettingsActions
from edgechat.tui.session.chat_session import ChatSession, Question
from edgechat.tui.widgets.banner import Banner, error_text
from edgechat.tui.widgets.composer import Composer
from edgechat.tui.widgets.conversation_list import Sidebar
from edgechat.tui.widgets.key_footer import KeyFooter
from edgechat.tui.widgets.message_list import INITIAL, MessageList
from edgechat.tui.widgets.status_line import READING, STOPPING, WAITING, StatusLine
from edgechat.tui.widgets.title_line import TitleLine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult

    from edgechat.chat.conversation import Conversation, Message
    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tui.session import messages
    from edgechat.tui.session.history_store import HistoryStore
    from edgechat.tui.widgets.message_view import MessageView

STARTER_NOTE = "The starter model answers: 135M parameters, English only, often wrong. F3 shows better ones."
WELCOME = """Everything you write stays on this machine.

Enter asks, Ctrl+J begins a new line, Esc stops an answer.
↑ brings an earlier question back; Ctrl+↑ goes to the messages.
F1 shows all keys, Ctrl+P all commands."""


class ChatScreen(ConversationActions, DraftReading, FileActions, MessageActions, ModelActions, SettingsActions):
    """One conversation at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", id="chat.stop", tooltip="Stop the answer; its text so far stays"),
        Binding("ctrl+r", "regenerate", "Again", id="chat.again", tooltip="Answer the last question once more"),
        Binding("ctrl+g", "edit", "Edit", show=False, id="chat.edit", tooltip="Change the last question, ask it again"),
        Binding("ctrl+n,f6", "new", "New", id="chat.new", tooltip="Start a conversation"),
        Binding("f2,ctrl+l", "conversations", "Chats", id="chat.list", tooltip="All conversations, and search"),
        Binding("f8", "copy", "Copy", show=False, id="chat.copy", tooltip="Copy the last answer"),
        Binding("f9", "think", "Think", show=False, id="chat.think", tooltip="Let models think first, or not"),
        Binding("ctrl+o", "attach", "Attach", show=False, id="chat.attach", tooltip="Attach a text file or an image"),
        Binding(
            "ctrl+t,f7",
            "settings",
            "Settings",
            show=False,
            id="chat.system",
            tooltip="System prompt and sampling of this chat",
        ),
        Binding(
            "alt+left",
            "version(-1)",
            "Version",
            show=False,
            id="chat.version",
            tooltip="The version before",
        ),
        Binding("alt+right", "version(1)", "Version", show=False, id="chat.version_on", tooltip="The next version"),
        Binding(
            "f10",
            "use_better",
            "Better model",
            id="chat.better",
            tooltip="Use the better model that is here",
            show=False,
        ),
        Binding("ctrl+s", "save", "Save", show=False, id="chat.save", tooltip="Write the conversation to a file"),
        Binding(
            "ctrl+up",
            "focus_messages",
            "Messages",
            show=False,
            priority=True,
            id="chat.messages",
            tooltip="Go to the messages",
        ),
        Binding("pageup", "page(-1)", "Back", show=False, priority=True, id="chat.page_up", tooltip="Scroll back"),
        Binding("pagedown", "page(1)", "On", show=False, priority=True, id="chat.page_down", tooltip="Scroll on"),
    ]

    DEFAULT_CSS = """
    ChatScreen #attached { height: auto; max-height: 3; padding: 0 1; color: $text-accent; display: none; }
    """

    def __init__(
        self, paths: Paths, store: HistoryStore, config: Config, presets: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._paths = paths
        self._store = store
        self._config = config
        self.session = ChatSession(paths, store, self.post_message, read_ahead=config.read_ahead)
        self.conversation: Conversation | None = None
        self.model: str | None = config.model
        """The model for the next question; None leaves the choice to the engine."""
        self._system = config.system or ""
        self.presets = presets or {}
        self._editing: int | None = None
        self._draft = ("", ())
        self._view: MessageView | None = None
        self._redraw_rate = RedrawRate()
        self._title = TitleLine()
        self._attached = Static("", id="attached", markup=False)
        self.message_list = MessageList()
        self.banner = Banner()
        self.status = StatusLine()
        self.composer = Composer()
        self.sidebar = Sidebar(store)
        self.is_answering = False
        self._is_left = False
        """Whether the running answer belongs to a conversation that is not on screen any more."""

    def compose(self) -> ComposeResult:
        """Yield title, messages, input field, status and footer."""
        yield self._title
        with Horizontal(id="body"):
            yield self.sidebar
            with Vertical(id="chat"):
                yield self.message_list
                yield self.banner
                yield self._attached
                yield self.composer
                yield self.status
        yield KeyFooter()

    async def on_mount(self) -> None:
        """Show a new conversation and focus the field."""
        self.set_interval(MIN_INTERVAL_S, self._draw_when_due)
        await self.open(None)
        self.composer.focus()

    def on_unmount(self) -> None:
        """Close the session, so that no thread waits for the engine."""
        self.session.close()

    # Opening

    async def open(self, number: int | None) -> None:
        """Show conversation ``number``; None shows a new one, which is created with its first question."""
        if self.is_answering:
            self.session.stop()
            self._is_left = True
        self._editing, self._view = None, None
        found: list[Message] = []
        self.conversation = None
        if number is not None:
            self.conversation = self._store.history.conversation(number)
            found = self._pages.newest(INITIAL)
            self.composer.remember([m.content for m in found if m.role == "user"])
        await self.message_list.open(found, self._pages if self.conversation else None, WELCOME)
        used, n_ctx = _last_use(found)
        self.status.show_context(used, n_ctx)
        self._show_title()
        self.composer.focus()

    async def show_again(self, message: int | None) -> None:
        """Read the conversation again, for another version of it; focus a message unless it is None."""
        if self.conversation is None:
            return
        self.conversation = self._store.history.conversation(self.conversation.id)
        await self.message_list.open(self._pages.newest(INITIAL), self._pages, WELCOME)
        self._show_title()
        if message is not None:
            await self.message_list.show(message)

    def _show_title(self) -> None:
        title = self.conversation.title if self.conversation else "New conversation"
        more = (" · thinks first" if self.thinks else "") + ("" if self._store.is_durable else " · not saved")
        self._title.show(title, self._model_text(), more)

    # Asking

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        """Ask the question that was sent."""
        if self.is_answering:
            self.banner.show(ONE_AT_A_TIME)
            return
        replaced, self._editing = self._editing, None
        self.composer.accept(event.typed)
        self._restore_draft()
        self._begin(Question(event.text, attachments=event.attachments, replaces=replaced))

    def _begin(self, question: Question) -> None:
        """Add the settings to a question and answer it in a worker thread."""
        self.is_answering, self._is_left = True, False
        self.banner.clear()
        self.status.show(WAITING)
        self._answer(self._with_settings(question))

    def _with_settings(self, question: Question) -> Question:
        sampling = self.sampling
        max_tokens = sampling.pop("max_tokens", None)
        return Question(
            question.text,
            conversation=self.conversation.id if self.conversation else None,
            system=self._system,
            settings=self._sampling,
            attachments=question.attachments,
            replaces=question.replaces,
            model=self.model,
            n_ctx=self._config.n_ctx,
            sampling=sampling,
            max_tokens=None if max_tokens is None else int(max_tokens),
            think=self.thinks,
            overflow=self._config.overflow or "trim",
        )

    def _draft_question(self) -> Question:
        """What stands in the field, as a question."""
        text = clean(self.composer.text).lstrip()
        return self._with_settings(Question(text, attachments=self.composer.attachments, replaces=self._editing))

    @work(thread=True, group="engine")
    def _answer(self, question: Question) -> None:
        self.session.ask(question)

    async def on_messages_retracted(self, event: messages.MessagesRetracted) -> None:
        """Remove from the screen what another version replaces."""
        if self._is_left:
            return
        await self.message_list.remove_from(event.message)

    async def on_version_restored(self, event: messages.VersionRestored) -> None:  # noqa: ARG002 - all is read again
        """Show the version before again."""
        await self.show_again(None)

    async def on_question_saved(self, event: messages.QuestionSaved) -> None:
        """Show a question once it is saved."""
        if self._is_left:
            return
        self.conversation = event.conversation
        self._show_title()
        self.message_list.set_pages(self._pages)
        await self.message_list.add(event.question)
        if self.sidebar.display:
            self.sidebar.reload()

    def on_status_changed(self, event: messages.StatusChanged) -> None:
        """Show what the engine is doing."""
        self.status.show(event.text)

    async def on_answer_started(self, event: messages.AnswerStarted) -> None:
        """Show an empty answer that then grows."""
        from edgechat.chat.conversation import Message as ChatMessage  # noqa: PLC0415 - `Message` is another class here

        if self._is_left:
            return
        started = event.started
        self.answered_by = f"{started.model}:{started.quant}".lower()
        begun = ChatMessage(
            "assistant", "", status="streaming", model=started.model, quant=started.quant, id=event.message
        )
        self._view = await self.message_list.add(begun)
        self.status.show_context(started.prompt_tokens, started.n_ctx)
        self.status.show(READING)
        if started.is_starter and len(self.message_list.views) <= 2:
            self.banner.show(STARTER_NOTE)

    def on_notice_posted(self, event: messages.NoticePosted) -> None:
        """Show a notice."""
        self.banner.show(event.text)

    def on_saving_failed(self, event: messages.SavingFailed) -> None:
        """Say that nothing is saved any more."""
        self.banner.show(f"Not saved any more, the chat goes on in memory: {error_text(event.error)}", is_error=True)
        self._show_title()

    async def on_answer_ended(self, event: messages.AnswerEnded) -> None:
        """Show the saved answer, or the error and the returned question."""
        await self._draw()
        self.is_answering = False
        self.status.show("")
        if self.banner.text == ONE_AT_A_TIME:
            self.banner.clear()
        if event.answer is not None and not self._is_left:
            if self.conversation is not None:
                self.conversation = self._store.history.conversation(self.conversation.id)
            if self._view is not None:
                self._view.finish(event.answer)
            self._show_title()
            self.status.show_context(*_use(event.answer, event.n_ctx), event.forecast)
        self._view = None
        self.find_next_answer()
        if event.returned is not None:
            await self.message_list.remove_from(event.returned.id)
            if not self.composer.text:
                self.composer.reset(clean(event.returned.content), event.returned.attachments)
        if event.error is not None:
            self.show_error(event.error)
        self._read_typed_meanwhile()
        self.refresh_bindings()

    async def on_model_switch_requested(self, event: messages.ModelSwitchRequested) -> None:
        """Ask whether another client's model may be replaced."""
        from edgechat.tui.dialogs.questions import Confirm  # noqa: PLC0415 - imported when needed

        def decide(answer: bool | None) -> None:
            event.decide(bool(answer))

        self.app.push_screen(Confirm(event.question, yes="Switch", no="Leave it"), decide)

    async def _draw_when_due(self) -> None:
        if self._view is not None and self._redraw_rate.is_due():
            await self._draw()

    async def _draw(self) -> None:
        """Append the text that came since the last frame."""
        view = self._view
        if view is None:
            return
        text, thought = self.session.buffer.take()
        if not text and not thought:
            return
        view.add(text, thought)
        if self.is_answering and (speed := self.session.buffer.tokens_per_second()) is not None:
            self.status.show_speed(speed, is_thinking=bool(thought and not text))

    # Actions

    def action_stop(self) -> None:
        """Stop the answer; else cancel editing; else close the list; else focus the field; else clear the banner."""
        if self.is_answering:
            self.status.show(STOPPING)
            self.session.stop()
        elif self._editing is not None:
            self._editing = None
            self.composer.reset()
            self._restore_draft()
            self.banner.clear()
        elif self.sidebar.has_focus_within:
            self._close_list()
        elif not self.composer.has_focus:
            self.composer.focus()
        else:
            self.banner.clear()

    async def action_new(self) -> None:
        """Start a new conversation."""
        await self.open(None)
        self.banner.clear()


def _use(answer: Message, n_ctx: int) -> tuple[int, int]:
    usage = answer.usage
    return usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0), n_ctx


def _last_use(found: list[Message]) -> tuple[int, int]:
    """Tokens in use after the last answer; the context's size is 0, unknown until a model is loaded."""
    answer = next((each for each in reversed(found) if each.role == "assistant"), None)
    return (0, 0) if answer is None else _use(answer, 0)
