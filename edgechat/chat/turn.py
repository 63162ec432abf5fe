"""One question and its answer in a kept conversation, as ``edgechat ask -c`` asks them.

The question is on disk before the engine hears it, and what came of the answer before the command ends, however it
ends. Knows no terminal, and of the engine only its messages and events.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.chat.conversation import Horizon
from edgechat.engine.protocol import context_window, request
from edgechat.engine.protocol.events import Done, Event, Started, Text, Trimmed
from edgechat.errors import (
    ContextOverflowError,
    InvalidInputError,
    NoModelError,
    StateError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from edgechat.chat.conversation import Conversation, Message
    from edgechat.chat.history import History
    from edgechat.chat.streaming_answer import Answer

OVERFLOW_HINT = "The whole conversation is read again for each answer. Begin a new one with `edgechat ask -c --new`"


def joined_by_role(system: str, kept: Iterable[Message]) -> list[tuple[request.Message, tuple[int, ...]]]:
    """What the engine reads of a conversation, each message with the numbers of those that it is made of.

    Answers that never began are left out, and questions that stayed without one join the next: many templates refuse
    two messages of one role in a row.
    """
    joined: list[tuple[request.Message, tuple[int, ...]]] = [(request.Message("system", system), ())] if system else []
    for each in kept:
        if not each.content:
            continue
        if joined and joined[-1][0].role == each.role:
            before, numbers = joined[-1]
            text = f"{before.content}\n\n{each.content}"
            joined[-1] = (request.Message(each.role, text), (*numbers, each.id))
        else:
            joined.append((request.Message(each.role, each.content), (each.id,)))
    return joined


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine is sent of a conversation."""

    messages: tuple[request.Message, ...]
    numbers: tuple[tuple[int, ...], ...]
    """Of each message behind the system message, the numbers of those that it is made of."""
    unread: Trimmed | None
    """What is not sent, because it did not fit before."""

    @classmethod
    def of(cls, history: History, conversation: Conversation, *, n_ctx: int | None = None) -> Reading:
        """A conversation from where the model last began to read it; from its beginning for a larger ``n_ctx``."""
        horizon = history.horizon(conversation.id)
        if horizon is not None and n_ctx is not None and n_ctx > horizon.n_ctx:
            horizon = None
        since = None if horizon is None else horizon.message
        joined = joined_by_role(conversation.system, history.messages(conversation.id, since=since))
        messages = tuple(message for message, _ in joined)
        system, _ = context_window.split(messages)
        unread = None
        if horizon is not None:
            messages = context_window.apply(messages, context_window.Cut(0, horizon.summary))
            unread = Trimmed(history.n_unread(conversation.id, horizon), horizon.n_ctx, horizon.summary, is_new=False)
        return cls(messages, tuple(numbers for _, numbers in joined[len(system) :]), unread)

    def further(self, event: Trimmed) -> tuple[Horizon, Trimmed]:
        """Where reading begins once the engine has left messages out, and that event as it counts the history's."""
        before = 0 if self.unread is None else self.unread.messages
        n_unread = before + sum(len(numbers) for numbers in self.numbers[: event.messages])
        return Horizon(self.numbers[event.messages][0], event.n_ctx, event.summary), replace(event, messages=n_unread)


class Turn:
    """A question that is on disk, and the answer that it gets. Leave its ``with`` block to close the history too.

    Args:
        history: opened; the turn closes it.
        conversation: where the question belongs.
        question: the number of the message that asks it.
    """

    def __init__(self, history: History, conversation: Conversation, question: int) -> None:
        self._history = history
        self._conversation = conversation
        self._question = question
        self._answer: Answer | None = None
        self._reading: Reading | None = None
        self.fault: StateError | None = None
        """Why the answer could not be kept; it went on all the same."""

    @classmethod
    def begin(cls, history: History, question: str, *, system: str | None, default_system: str, is_new: bool) -> Turn:
        """Keep a question in the last conversation of ``ask -c``, or in a new one.

        Args:
            history: opened for writing; closed when this fails.
            question: what the user says.
            system: replaces the conversation's system prompt, when not None.
            default_system: the system prompt of a new conversation.
            is_new: begin a new one in any case.

        Raises:
            StateError: it could not be kept; nothing was asked.
        """
        try:
            conversation = None if is_new else history.last("ask")
            if conversation is None:
                conversation = history.start(system=default_system if system is None else system, origin="ask")
            elif system is not None and system != conversation.system:
                conversation = history.set_system(conversation.id, system)
            return cls(history, conversation, history.say(conversation.id, question).id)
        except BaseException:
            history.close()
            raise

    def messages(self, n_ctx: int | None = None) -> tuple[request.Message, ...]:
        """The conversation, ending with the question; without what an ``n_ctx`` as small had no room for."""
        self._reading = Reading.of(self._history, self._conversation, n_ctx=n_ctx)
        return self._reading.messages

    @property
    def name(self) -> str:
        """A name under which the engine may keep what it computed for this conversation."""
        return f"conversation {self._conversation.id}"

    def keep(self, events: Iterator[Event]) -> Iterator[Event]:
        """Pass the events of the answer on, each after what it says was taken care of.

        Raises:
            ContextOverflowError: the conversation has become too long; with both numbers and the way out.
            EdgechatError: as ``events``; a question that was refused is not part of the conversation any more.
        """
        if self._reading is not None and self._reading.unread is not None:
            yield self._reading.unread
        try:
            for event in events:
                if isinstance(event, Trimmed) and self._reading is not None:
                    horizon, event = self._reading.further(event)  # noqa: PLW2901 - as the history counts
                    self._keep_horizon(horizon)
                if self.fault is None:
                    try:
                        self._on(event)
                    except StateError as error:
                        self.fault = error
                yield event
        except ContextOverflowError as error:
            is_alone = len(self._history.messages(self._conversation.id, 2)) < 2
            self._take_back()
            if is_alone:
                raise
            raise ContextOverflowError(error.prompt_tokens, error.n_ctx, hint=_hint(error)) from error
        except (InvalidInputError, NoModelError):
            self._take_back()
            raise

    def _on(self, event: Event) -> None:
        if isinstance(event, Started) and self._answer is None:
            self._answer = self._history.answer(self._conversation.id, event.model, event.quant)
        elif isinstance(event, Text) and self._answer is not None:
            self._answer.append(event.text, is_thought=event.is_thought)
        elif isinstance(event, Done) and self._answer is not None:
            timing = {**event.timing, "load_s": event.load_s}
            self._answer.finish(event.finish_reason, usage=event.usage, timing=timing)

    def _keep_horizon(self, horizon: Horizon) -> None:
        try:
            self._history.set_horizon(self._conversation.id, horizon)
        except StateError as error:
            self.fault = self.fault or error

    def _take_back(self) -> None:
        """Refused before it was read, the question would only stand in the way of the next one."""
        if self._answer is not None:
            return
        # The refusal is what the person must hear; a question that stays is merely asked again with the next.
        with contextlib.suppress(StateError):
            self._history.retract(self._question)
            if not self._history.conversation(self._conversation.id).messages:
                self._history.delete(self._conversation.id)

    def close(self) -> None:
        """Keep what there is of the answer, and close the history.

        Sets :attr:`fault` when that fails.
        """
        try:
            if self._answer is not None:
                self._answer.close()
        except StateError as error:
            self.fault = self.fault or error
        finally:
            self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hint(error: ContextOverflowError) -> str:
    return f"{OVERFLOW_HINT}." if error.is_largest else f"{OVERFLOW_HINT}, or ask for a larger context with --ctx."
