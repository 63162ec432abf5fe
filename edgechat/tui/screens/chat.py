"""The chat: a conversation, the field to write in, and what the engine is doing.

Puts widgets, history and dialogue together; engine calls run in a worker thread, and their news come as messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from edgechat.plaintext import clean, clean_line
from edgechat.tui.labels import trouble
from edgechat.tui.redraw_rate import FRAME_S, Pace
from edgechat.tui.screens.chat_files import FileActions
from edgechat.tui.screens.chat_list import ConversationActions
from edgechat.tui.screens.chat_messages import ONE_AT_A_TIME, MessageActions
from edgechat.tui.session.chat_session import Dialogue, Question
from edgechat.tui.widgets.banner import Banner
from edgechat.tui.widgets.composer import Composer
from edgechat.tui.widgets.key_line import KeyLine
from edgechat.tui.widgets.sidebar import Sidebar
from edgechat.tui.widgets.status_line import StatusLine
from edgechat.tui.widgets.transcript import OPENED, Transcript

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgechat.chat.conversation import Conversation, Message
    from edgechat.config import Config
    from edgechat.paths import Paths
    from edgechat.tui.session import messages as news
    from edgechat.tui.session.history_store import Keeper
    from edgechat.tui.widgets.message_view import MessageView

STARTER_NOTE = "The starter model answers: 135M parameters, English only, often wrong. F3 shows better ones."
WELCOME = """Everything you write stays on this machine.

Enter asks, Ctrl+J begins a new line, Esc stops an answer.
↑ brings an earlier question back; Ctrl+↑ goes to the messages.
F1 shows all keys, Ctrl+P all commands."""


class ChatScreen(ConversationActions, FileActions, MessageActions):
    """One conversation at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", id="chat.stop", tooltip="Stop the answer; what came of it stays"),
        Binding("ctrl+r", "regenerate", "Again", id="chat.again", tooltip="Answer the last question once more"),
        Binding("ctrl+g", "edit", "Edit", show=False, id="chat.edit", tooltip="Change the last question, ask it again"),
        Binding("ctrl+n,f6", "new", "New", id="chat.new", tooltip="Begin a conversation"),
        Binding("f2,ctrl+l", "conversations", "Talks", id="chat.list", tooltip="All conversations, and search"),
        Binding("f8", "copy", "Copy", show=False, id="chat.copy", tooltip="Copy the last answer"),
        Binding("f9", "think", "Think", show=False, id="chat.think", tooltip="Let models that can think first, or not"),
        Binding("ctrl+o", "attach", "Attach", show=False, id="chat.attach", tooltip="Attach a text file"),
        Binding("ctrl+t,f7", "system", "System", show=False, id="chat.system", tooltip="System prompt of this talk"),
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
    ChatScreen #title { height: 1; padding: 0 1; background: $panel; color: $text; }
    ChatScreen #attached { height: auto; max-height: 3; padding: 0 1; color: $text-accent; display: none; }
    """

    def __init__(self, paths: Paths, keeper: Keeper, config: Config) -> None:
        super().__init__()
        self._paths = paths
        self._keeper = keeper
        self._config = config
        self.dialogue = Dialogue(paths, keeper, self.post_message)
        self.conversation: Conversation | None = None
        self.model: str | None = config.model
        """The model to ask for; None leaves it to the engine."""
        self.thinks = False
        self._system = config.system or ""
        self._editing: int | None = None
        self._view: MessageView | None = None
        self._pace = Pace()
        self._title = Static("", id="title", markup=False)
        self._attached = Static("", id="attached", markup=False)
        self.transcript = Transcript()
        self.banner = Banner()
        self.status = StatusLine()
        self.composer = Composer()
        self.sidebar = Sidebar(keeper)
        self.is_answering = False

    def compose(self) -> ComposeResult:
        """Title, transcript, input, state, keys."""
        yield self._title
        with Horizontal(id="body"):
            yield self.sidebar
            with Vertical(id="talk"):
                yield self.transcript
                yield self.banner
                yield self._attached
                yield self.composer
                yield self.status
        yield KeyLine()

    async def on_mount(self) -> None:
        """Show the last conversation's place, ready to write."""
        self.set_interval(FRAME_S, self._draw_when_due)
        await self.open(None)
        self.composer.focus()

    def on_unmount(self) -> None:
        """Hang up, so that no thread waits for an engine."""
        self.dialogue.close()

    # Opening

    async def open(self, number: int | None) -> None:
        """Show conversation ``number``, or with None an empty one that begins with its first question."""
        if self.is_answering:
            self.dialogue.stop()
        self._editing, self._view = None, None
        found: list[Message] = []
        self.conversation = None
        if number is not None:
            self.conversation = self._keeper.history.conversation(number)
            found = self._pages.newest(OPENED)
            self.composer.remember([m.content for m in found if m.role == "user"])
        await self.transcript.open(found, self._pages if self.conversation else None, WELCOME)
        used, n_ctx = _last_use(found)
        self.status.show_context(used, n_ctx)
        self._show_title()
        self.composer.focus()

    def use(self, model: str | None) -> None:
        """Answer with another model from the next question on; the conversation stays. None changes nothing."""
        if model is not None:
            self.model = model
            self._show_title()
            self.banner.say(f"{model} answers from the next question on.")
        self.composer.focus()

    def _show_title(self) -> None:
        title = self.conversation.title if self.conversation else "New conversation"
        model = self.model or (self.conversation.model if self.conversation else None) or "model: automatic"
        more = (" · thinks first" if self.thinks else "") + ("" if self._keeper.is_durable else " · not saved")
        self._title.update(Content(f"{clean_line(title) or 'Untitled'} · {clean_line(model)}{more}"))

    # Asking

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        """Ask what was written."""
        if self.is_answering:
            self.banner.say(ONE_AT_A_TIME)
            return
        retract, self._editing = self._editing, None
        self.composer.accept(event.typed)
        self._begin(Question(event.text, retract=retract))

    def _begin(self, question: Question) -> None:
        """Hand a question to the worker thread."""
        self.is_answering = True
        self.banner.clear()
        self.status.show("waiting for the engine")
        config = self._config
        self._answer(
            Question(
                question.text,
                conversation=self.conversation.id if self.conversation else None,
                system=self._system,
                retract=question.retract,
                model=self.model,
                n_ctx=config.n_ctx,
                sampling={} if config.temperature is None else {"temperature": config.temperature},
                max_tokens=config.max_tokens,
                think=self.thinks,
                overflow=config.overflow or "trim",
            )
        )

    @work(thread=True, group="engine")
    def _answer(self, question: Question) -> None:
        self.dialogue.ask(question)

    async def on_retracted(self, event: news.Retracted) -> None:
        """Take what is asked anew off the screen."""
        await self.transcript.cut(event.message)

    async def on_kept(self, event: news.Kept) -> None:
        """Show a question once it is kept."""
        self.conversation = event.conversation
        self._show_title()
        self.transcript.read_from(self._pages)
        await self.transcript.add(event.question)
        if self.sidebar.display:
            self.sidebar.reload()

    def on_waiting(self, event: news.Waiting) -> None:
        """Say why nothing comes yet."""
        self.status.show(event.text)

    async def on_begun(self, event: news.Begun) -> None:
        """Make room for the answer."""
        from edgechat.chat.conversation import Message as ChatMessage  # noqa: PLC0415 - a name used above for news

        started = event.started
        begun = ChatMessage(
            "assistant", "", status="streaming", model=started.model, quant=started.quant, id=event.message
        )
        self._view = await self.transcript.add(begun)
        self.status.show_context(started.prompt_tokens, started.n_ctx)
        self.status.show("reading")
        if started.is_starter and len(self.transcript.views) <= 2:
            self.banner.say(STARTER_NOTE)

    def on_noted(self, event: news.Noted) -> None:
        """Show what the engine's client has to say."""
        self.banner.say(event.text)

    def on_not_kept(self, event: news.NotKept) -> None:
        """The disk refuses: say so, and go on."""
        self.banner.say(f"Not saved any more, the chat goes on in memory: {trouble(event.error)}", is_trouble=True)
        self._show_title()

    async def on_ended(self, event: news.Ended) -> None:
        """The answer is over, one way or another."""
        await self._draw()
        self.is_answering = False
        self.status.show("")
        if self.banner.text == ONE_AT_A_TIME:
            self.banner.clear()
        if event.answer is not None:
            if self.conversation is not None:
                self.conversation = self._keeper.history.conversation(self.conversation.id)
            if self._view is not None:
                self._view.finish(event.answer)
            self._show_title()
            self.status.show_context(*_use(event.answer, event.n_ctx), event.outlook)
        self._view = None
        if event.returned is not None:
            await self.transcript.cut(event.returned.id)
            if not self.composer.text:
                self.composer.reset(clean(event.returned.content))
        if event.error is not None:
            self._explain(event.error)
        self.refresh_bindings()

    async def on_switch_asked(self, event: news.SwitchAsked) -> None:
        """Another client keeps another model: ask the person."""
        from edgechat.tui.screens.dialogs import Confirm  # noqa: PLC0415 - its widgets come when they are needed

        def decide(answer: bool | None) -> None:
            event.decide(bool(answer))

        self.app.push_screen(Confirm(event.question, yes="Switch", no="Leave it"), decide)

    async def _draw_when_due(self) -> None:
        if self._view is not None and self._pace.is_due():
            await self._draw()

    async def _draw(self) -> None:
        """Let the answer grow by what came since the last frame."""
        view = self._view
        if view is None:
            return
        text, thought = self.dialogue.buffer.take()
        if not text and not thought:
            return
        view.add(text, thought)
        if self.is_answering and (pace := self.dialogue.buffer.tokens_per_second()) is not None:
            doing = "thinking" if thought and not text else "answering"
            self.status.show(f"{doing} · {pace:.0f} tok/s · Esc stops")

    # Actions

    def action_stop(self) -> None:
        """Stop the answer, else leave the editing, else clear the banner."""
        if self.is_answering:
            self.status.show("stopping")
            self._stop()
        elif self._editing is not None:
            self._editing = None
            self.composer.reset()
            self.banner.clear()
        elif self.sidebar.has_focus_within:
            self._close_list()
        elif not self.composer.has_focus:
            self.composer.focus()
        else:
            self.banner.clear()

    def _stop(self) -> None:
        self.dialogue.stop()

    async def action_new(self) -> None:
        """Begin a conversation."""
        await self.open(None)
        self.banner.clear()


def _use(answer: Message, n_ctx: int) -> tuple[int, int]:
    usage = answer.usage
    return usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0), n_ctx


def _last_use(found: list[Message]) -> tuple[int, int]:
    """How full the context was after the last answer, of which no size is known before it is loaded again."""
    answer = next((each for each in reversed(found) if each.role == "assistant"), None)
    return (0, 0) if answer is None else _use(answer, 0)
