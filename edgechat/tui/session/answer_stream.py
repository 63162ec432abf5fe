"""One answer on its way from the engine to the history and the screen: on disk as it comes, in memory when that fails.

Runs in the dialogue's worker thread. Knows no widget.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.chat.conversation import Message as ChatMessage
from edgechat.engine.protocol.events import Done, Event, Loading, Prefill, Queued, Recovered, Started, Text, Trimmed
from edgechat.engine.protocol.request import Message as Sent
from edgechat.errors import ContextOverflowError, EdgechatError, InvalidInputError, NoModelError, StateError
from edgechat.tui.context_gauge import UNCUT, Outlook, outlook
from edgechat.tui.session.messages import Begun, Ended, Noted, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.chat.streaming_answer import Answer
    from edgechat.chat.turn import Reading
    from edgechat.engine.protocol.request import Request
    from edgechat.tui.session.chat_session import Dialogue

_READING_SHOWN = 256
"""Shorter prompts are read before anybody could read about it."""


class Telling:
    """One answer in the making.

    Args:
        dialogue: whose client is asked, and whose screen is told.
        conversation: where the answer belongs.
        question: what was kept of the question; None when it was there already.
        reading: what the engine is sent of the conversation.
    """

    def __init__(self, dialogue: Dialogue, conversation: int, question: ChatMessage | None, reading: Reading) -> None:
        self._dialogue = dialogue
        self._keeper = dialogue.keeper
        self._post = dialogue.post
        self._conversation = conversation
        self._question = question
        self._reading = reading
        self._answer: Answer | None = None
        self._started: Started | None = None
        self._done: Done | None = None
        self._content: list[str] = []
        self._thought: list[str] = []
        self._asked_at = time.monotonic()
        self._first_s: float | None = None
        self._fault: StateError | None = None
        self._unread = reading.unread.messages if reading.unread is not None else 0
        self._dropped = 0

    def tell(self, request: Request) -> None:
        """Ask, keep, and tell; ends with an ``Ended``."""
        error: EdgechatError | None = None
        if self._reading.unread is not None:
            self._post(Noted(self._reading.unread.note))
        events: Iterator[Event] | None = None
        try:
            events = self._dialogue.client().generate(request)
            for event in events:
                if self._dialogue.is_stopped:
                    break
                self._on(event)
        except EdgechatError as caught:
            error = None if self._dialogue.is_stopped else caught
        finally:
            if events is not None:
                events.close()  # type: ignore[attr-defined]  # it is a generator
            if self._dialogue.is_stopped:
                self._dialogue.drop_client()
        self._end(error)

    def _on(self, event: Event) -> None:
        if isinstance(event, Text):
            self._on_text(event)
        elif isinstance(event, Queued):
            self._post(Waiting(event.reason))
        elif isinstance(event, Loading):
            self._post(Waiting(event.note))
        elif isinstance(event, Prefill):
            if event.total >= _READING_SHOWN:
                self._post(Waiting(event.note))
        elif isinstance(event, Recovered):
            self._post(Noted(event.note))
        elif isinstance(event, Trimmed):
            self._on_trimmed(event)
        elif isinstance(event, Started):
            self._on_started(event)
        elif isinstance(event, Done):
            self._done = event

    def _on_trimmed(self, event: Trimmed) -> None:
        horizon, told = self._reading.further(event)
        self._unread, self._dropped = told.messages, event.messages
        try:
            self._keeper.history.set_horizon(self._conversation, horizon)
        except StateError as error:
            self._fault = error  # the answer meets the same disk, and says so
        self._post(Noted(told.note))

    def _on_started(self, event: Started) -> None:
        is_first = self._started is None
        self._started = event
        if not is_first:
            return  # an answer that goes on after a restart
        try:
            self._answer = self._keeper.history.answer(self._conversation, event.model, event.quant)
        except StateError as error:
            self._fault = error
        self._post(Begun(event, 0 if self._answer is None else self._answer.message))
        if event.step_down:
            self._post(Noted(event.step_down))

    def _on_text(self, event: Text) -> None:
        if self._first_s is None and event.text:
            self._first_s = time.monotonic() - self._asked_at
        (self._thought if event.is_thought else self._content).append(event.text)
        if self._answer is not None:
            try:
                self._answer.append(event.text, is_thought=event.is_thought)
            except StateError as error:
                self._fault = error  # tried again with the next batch, and at the end
        self._dialogue.buffer.put(event)

    def _end(self, error: EdgechatError | None) -> None:
        answer = self._finish(error) if self._started is not None else None
        returned = None
        if self._started is None and isinstance(error, (InvalidInputError, NoModelError)):
            returned = self._take_back()
        n_ctx = self._started.n_ctx if self._started else 0
        if isinstance(error, ContextOverflowError):
            n_ctx = error.n_ctx
        self._post(Ended(answer, error, returned, n_ctx, self._outlook(answer, n_ctx)))

    def _outlook(self, answer: ChatMessage | None, n_ctx: int) -> Outlook:
        if answer is None:
            return UNCUT
        used = answer.usage.get("prompt_tokens", 0) + answer.usage.get("completion_tokens", 0)
        said = (*self._reading.messages, Sent("assistant", answer.content))
        return Outlook(self._unread, outlook(said, used=used, n_ctx=n_ctx, dropped=self._dropped))

    def _finish(self, error: EdgechatError | None) -> ChatMessage | None:
        """Put the end of the answer on disk, or in memory when the disk refuses; what was kept."""
        reason = "cancelled" if self._dialogue.is_stopped else "interrupted"
        usage: dict[str, int] = {"completion_tokens": self._dialogue.buffer.tokens}
        timing: dict[str, float] = {"total_s": time.monotonic() - self._asked_at}
        if self._started is not None:
            usage["prompt_tokens"] = self._started.prompt_tokens
        if self._first_s is not None:
            timing["ttft_s"] = self._first_s
        if (pace := self._dialogue.buffer.tokens_per_second()) is not None:
            timing["decode_tps"] = pace
        if self._done is not None and error is None:
            reason = self._done.finish_reason
            usage, timing = self._done.usage, {**timing, **self._done.timing, "load_s": self._done.load_s}
        try:
            if self._answer is None:
                raise self._fault or StateError("The answer could not be kept.")
            self._answer.finish(reason, usage=usage, timing=timing)
            number = self._answer.message
        except StateError as fault:
            return self._in_memory(fault, reason, usage, timing)
        return next(each for each in self._keeper.history.messages(self._conversation, 1) if each.id == number)

    def _in_memory(
        self, fault: StateError, reason: str, usage: dict[str, int], timing: dict[str, float]
    ) -> ChatMessage | None:
        started = self._started
        lost = ChatMessage("assistant", "".join(self._content), "".join(self._thought))
        lost = replace(
            lost,
            model=started.model if started else None,
            quant=started.quant if started else None,
            id=self._answer.message if self._answer else 0,
        )
        try:
            return self._keeper.rewrite(
                self._conversation, lost, finish_reason=reason, usage=usage, timing=timing, error=fault
            )
        except EdgechatError as error:
            self._post(Noted(f"This answer could not be kept: {error.message}"))
            return lost

    def _take_back(self) -> ChatMessage | None:
        """Refused before it was read, the question would only stand in the way of the next one."""
        if self._question is None:
            return None
        try:
            self._keeper.retract(self._question.id)
        except EdgechatError as error:
            self._post(Noted(f"The question stays in the conversation: {error.message}"))
            return None
        return self._question
