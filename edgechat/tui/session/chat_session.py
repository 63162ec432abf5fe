"""Questions of the chat screen, answered in a worker thread: save the question, send it, pass on the answer.

One answer at a time. The screen gets messages, and text through a buffer that it empties when it draws. Imports the
engine's side only for the first question.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.tui.redraw_rate import TextBuffer
from edgechat.tui.session.engine_connection import EngineConnection, has_engine
from edgechat.tui.session.messages import (
    AnswerEnded,
    MessagesRetracted,
    NoticePosted,
    QuestionSaved,
    VersionRestored,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.message import Message

    from edgechat.chat.conversation import Attachment
    from edgechat.chat.conversation import Message as ChatMessage
    from edgechat.chat.turn import PromptMessages
    from edgechat.engine.client.draft_reader import DraftReader
    from edgechat.engine.protocol.request import Request
    from edgechat.paths import Paths
    from edgechat.tui.session.history_store import HistoryStore


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the settings to answer it with."""

    text: str | None
    """None asks the last question of the conversation again."""
    conversation: int | None = None
    """Id of the conversation; None starts a new one."""
    system: str = ""
    """System prompt of a new conversation."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Sampling parameters that a new conversation keeps."""
    attachments: tuple[Attachment, ...] = ()
    replaces: int | None = None
    """Id of the message that the question, or its new answer, is another version of."""
    model: str | None = None
    """None leaves the choice to the engine."""
    n_ctx: int | None = None
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    max_tokens: int | None = None
    think: bool = False
    overflow: str = "trim"
    """What happens to a conversation that has outgrown the context: ``refuse``, ``trim`` or ``summarize``."""


class ChatSession:
    """One user's questions to the engine.

    Args:
        paths: whose engine.
        store: saves questions and answers.
        post: takes messages for the screen, from any thread.
        read_ahead: most tokens of a draft that an idle engine reads; 0 reads none.
    """

    def __init__(
        self, paths: Paths, store: HistoryStore, post: Callable[[Message], object], *, read_ahead: int = 0
    ) -> None:
        self._store = store
        self._read_ahead = read_ahead
        self._drafts: DraftReader | None = None
        self._draft_lock = threading.Lock()
        """Held while a draft is sent; the reader of drafts serves one thread at a time."""
        self._post = post
        self._engine = EngineConnection(paths, post)
        self._lock = threading.Lock()
        self._is_asking = False
        self._is_closed = False
        self.buffer = TextBuffer()

    def ask(self, question: Question) -> None:
        """Save the question, answer it, save the answer. Runs in a worker thread; ends with an ``AnswerEnded``."""
        with self._lock:
            if self._is_closed:
                return
            self._is_asking = True
        self._stop_reading()
        self._engine.reset()
        self.buffer.reset()
        try:
            self._ask(question)
        finally:
            with self._lock:
                self._is_asking = False
                if self._is_closed:
                    self._engine.close()

    def _ask(self, question: Question) -> None:
        # The engine's side: 60 ms that the first frame need not wait for.
        from edgechat.chat.turn import PromptMessages  # noqa: PLC0415
        from edgechat.tui.session.answer_stream import AnswerStream  # noqa: PLC0415

        saved: ChatMessage | None = None
        store, number = self._store, question.conversation
        try:
            if question.replaces is not None:
                store.set_aside(question.replaces)
                self._post(MessagesRetracted(question.replaces))
            if number is None:
                number = store.start(system=question.system, sampling=question.settings).id
            if question.text is not None:
                saved = store.add_question(number, question.text, question.attachments)
                self._post(QuestionSaved(store.history.conversation(number), saved))
            prompt = PromptMessages.of(store.history, store.history.conversation(number), n_ctx=question.n_ctx)
            request = self._request(question, prompt, number)
        except EdgechatError as error:
            self._post(AnswerEnded(None, error, saved, 0))
            self._restore(question)
            return
        stream = AnswerStream(
            self._engine, store, self.buffer, self._post, conversation=number, question=saved, prompt=prompt
        )
        stream.run(request)
        self._restore(question)

    def _request(self, question: Question, prompt: PromptMessages, conversation: int | None) -> Request:
        from edgechat.engine.protocol.request import Request, Wish  # noqa: PLC0415 - as in _ask

        return Request(
            messages=prompt.messages,
            wish=Wish.of(question.model, question.n_ctx),
            sampling=dict(question.sampling),
            max_tokens=question.max_tokens,
            think=question.think,
            overflow=question.overflow,
            # An id of the copy in memory may later mean another conversation on disk.
            keep=f"conversation {conversation}" if conversation is not None and self._store.is_durable else None,
        )

    def read_ahead(self, draft: Question, *, is_finished: bool) -> None:
        """Let an idle engine read a question that is still being written, in place of the draft before.

        Runs in a worker thread. Saves nothing, starts no engine and reports nothing.

        Args:
            draft: the question so far.
            is_finished: it may well be sent as it is.
        """
        with self._draft_lock:
            paths = self._engine.paths
            if self._is_asking or self._is_closed or not self._read_ahead or not has_engine(paths):
                return
            from edgechat.engine.client.draft_reader import DraftReader  # noqa: PLC0415 - as in _ask

            self._drafts = self._drafts or DraftReader(paths, self._read_ahead)
            # A history that cannot be read is reported when the question is asked.
            with contextlib.suppress(EdgechatError):
                self._drafts.read(self._draft_request(draft), is_finished=is_finished)

    def _draft_request(self, draft: Question) -> Request:
        from edgechat.chat.conversation import Conversation  # noqa: PLC0415 - as in _ask
        from edgechat.chat.conversation import Message as ChatMessage  # noqa: PLC0415
        from edgechat.chat.turn import PromptMessages  # noqa: PLC0415

        history, number = self._store.history, draft.conversation
        conversation = Conversation(system=draft.system) if number is None else history.conversation(number)
        written = ChatMessage("user", draft.text or "", attachments=draft.attachments)
        prompt = PromptMessages.of(history, conversation, n_ctx=draft.n_ctx, before=draft.replaces, draft=written)
        return self._request(draft, prompt, number)

    def _stop_reading(self) -> None:
        with self._draft_lock:
            if self._drafts is not None:
                self._drafts.stop()

    def _restore(self, question: Question) -> None:
        """Return to the version that was to be replaced, when nothing was saved in its place."""
        if question.replaces is None:
            return
        try:
            history = self._store.history
            replaced = history.message(question.replaces)
            newest = history.messages(question.conversation or 0, 1)
            if newest and newest[0].id > replaced.id:
                return
            self._store.choose(question.replaces)
        except EdgechatError as error:
            self._post(NoticePosted(f"The version before is not shown again: {error.message}"))
        else:
            self._post(VersionRestored(question.replaces))

    def stop(self) -> None:
        """Stop the running answer; what there is of it stays saved."""
        self._engine.stop()

    def close(self) -> None:
        """Stop, and close the connection: at once, or when the running answer has ended."""
        with self._lock:
            self._is_closed = True
            is_asking = self._is_asking
        self._stop_reading()
        if is_asking:
            self.stop()
        else:
            self._engine.close()
