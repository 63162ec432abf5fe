"""One answer from the engine: save it as it arrives, tell the screen, and keep it in memory when the disk fails.

Runs in the chat session's worker thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgechat.chat.conversation import Message as ChatMessage
from edgechat.chat.turn import AnswerRecorder
from edgechat.engine.protocol.events import Done, Event, Loading, Prefill, Queued, Recovered, Started, Text, Trimmed
from edgechat.engine.protocol.request import Message as SentMessage
from edgechat.errors import ContextOverflowError, EdgechatError, StateError
from edgechat.tui.context_gauge import NOTHING_TRIMMED, TrimForecast, count_next_trimmed
from edgechat.tui.session.messages import AnswerEnded, AnswerStarted, NoticePosted, StatusChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.message import Message

    from edgechat.chat.turn import PromptMessages
    from edgechat.engine.protocol.request import Request
    from edgechat.tui.redraw_rate import TextBuffer
    from edgechat.tui.session.engine_connection import EngineConnection
    from edgechat.tui.session.history_store import HistoryStore

_LONG_PROMPT = 256
"""Tokens of a prompt from which its prefill is shown; a shorter one is done before the text could be read."""


class AnswerStream:
    """One answer while it arrives."""

    def __init__(
        self,
        engine: EngineConnection,
        store: HistoryStore,
        buffer: TextBuffer,
        post: Callable[[Message], object],
        *,
        conversation: int,
        question: ChatMessage | None,
        prompt: PromptMessages,
    ) -> None:
        self._engine = engine
        self._store = store
        self._buffer = buffer
        self._post = post
        self._conversation = conversation
        self._question = question
        self._prompt = prompt
        self._recorder = AnswerRecorder(store.history, conversation, prompt)
        self._done: Done | None = None
        self._asked_at = time.monotonic()
        self._first_s: float | None = None
        self._n_unread = prompt.unread.messages if prompt.unread is not None else 0
        self._n_dropped = 0

    def run(self, request: Request) -> None:
        """Send the request and follow its events; ends with an ``AnswerEnded``."""
        error: EdgechatError | None = None
        if self._prompt.unread is not None:
            self._post(NoticePosted(self._prompt.unread.note))
        events: Iterator[Event] | None = None
        try:
            events = self._engine.client().generate(request)
            for event in events:
                if self._engine.is_stopped:
                    break
                self._on_event(event)
        except EdgechatError as caught:
            error = None if self._engine.is_stopped else caught
        finally:
            if events is not None:
                events.close()  # type: ignore[attr-defined]  # it is a generator
            if self._engine.is_stopped:
                self._engine.drop()
        self._end(error)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Done):
            self._done = event  # saved in _save_end, with the times measured here
            return
        is_first = isinstance(event, Started) and self._recorder.started is None
        recorded = self._recorder.record(event)
        if isinstance(event, Text):
            if self._first_s is None and event.text:
                self._first_s = time.monotonic() - self._asked_at
            self._buffer.put(event)
        elif isinstance(event, Queued):
            self._post(StatusChanged(event.reason))
        elif isinstance(event, Loading):
            self._post(StatusChanged(event.note))
        elif isinstance(event, Prefill):
            if event.total >= _LONG_PROMPT:
                self._post(StatusChanged(event.note))
        elif isinstance(event, Recovered):
            self._post(NoticePosted(event.note))
        elif isinstance(event, Trimmed) and isinstance(recorded, Trimmed):
            self._n_unread, self._n_dropped = recorded.messages, event.messages
            self._post(NoticePosted(recorded.note))
        elif isinstance(event, Started) and is_first:
            answer = self._recorder.answer
            self._post(AnswerStarted(event, 0 if answer is None else answer.message))
            if event.step_down:
                self._post(NoticePosted(event.step_down))

    def _end(self, error: EdgechatError | None) -> None:
        started = self._recorder.started
        answer = self._save_end(started, error) if started is not None else None
        returned = self._retract_question() if error is not None and self._recorder.is_refused(error) else None
        n_ctx = started.n_ctx if started is not None else 0
        if isinstance(error, ContextOverflowError):
            n_ctx = error.n_ctx
        self._post(AnswerEnded(answer, error, returned, n_ctx, self._forecast(answer, n_ctx)))

    def _forecast(self, answer: ChatMessage | None, n_ctx: int) -> TrimForecast:
        if answer is None:
            return NOTHING_TRIMMED
        used = answer.usage.get("prompt_tokens", 0) + answer.usage.get("completion_tokens", 0)
        messages = (*self._prompt.messages, SentMessage("assistant", answer.content))
        n_next = count_next_trimmed(messages, used=used, n_ctx=n_ctx, dropped=self._n_dropped)
        return TrimForecast(self._n_unread, n_next)

    def _save_end(self, started: Started, error: EdgechatError | None) -> ChatMessage | None:
        """Save the end of the answer on disk, or all of it in memory when the disk fails; returns what was saved."""
        reason = "cancelled" if self._engine.is_stopped else "interrupted"
        usage = {"completion_tokens": self._buffer.tokens, "prompt_tokens": started.prompt_tokens}
        timing = {"total_s": time.monotonic() - self._asked_at}
        if self._first_s is not None:
            timing["ttft_s"] = self._first_s
        if (speed := self._buffer.tokens_per_second()) is not None:
            timing["decode_tps"] = speed
        if self._done is not None and error is None:
            reason = self._done.finish_reason
            usage, timing = self._done.usage, {**timing, **self._done.timing, "load_s": self._done.load_s}
        try:
            number = self._recorder.finish(reason, usage, timing)
        except StateError as fault:
            answer = self._recorder.answer
            unsaved = ChatMessage(
                "assistant",
                "".join(self._recorder.content),
                "".join(self._recorder.thought),
                model=started.model,
                quant=started.quant,
                id=answer.message if answer is not None else 0,
            )
            try:
                return self._store.save_in_memory(
                    self._conversation, unsaved, finish_reason=reason, usage=usage, timing=timing, error=fault
                )
            except EdgechatError as second:
                self._post(NoticePosted(f"This answer could not be saved: {second.message}"))
                return unsaved
        return next(each for each in self._store.history.messages(self._conversation, 1) if each.id == number)

    def _retract_question(self) -> ChatMessage | None:
        """Take the refused question back; returns it, or None when it stays in the conversation."""
        if self._question is None:
            return None
        try:
            self._store.retract(self._question.id)
        except EdgechatError as error:
            self._post(NoticePosted(f"The question stays in the conversation: {error.message}"))
            return None
        return self._question
