"""One turn of a saved conversation: what the engine is sent, the question, and the answer that is saved as it arrives.

The question is on disk before the engine gets it, and the answer is on disk as far as it came, however the process
ends. ``edgechat ask -c`` uses :class:`Turn`; the terminal UI uses the two classes above it with its own threads. Of the
engine this module knows only messages and events.
"""

from __future__ import annotations

import base64
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgechat.chat.conversation import ContextStart
from edgechat.engine.protocol import conversation_trimming, request
from edgechat.engine.protocol.events import Done, Event, Started, Text, Trimmed
from edgechat.errors import ContextOverflowError, EdgechatError, InvalidInputError, NoModelError, StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

    from edgechat.chat.conversation import Conversation, Message
    from edgechat.chat.history import History
    from edgechat.chat.streaming_answer import StreamingAnswer

OVERFLOW_HINT = "The whole conversation is read again for each answer. Begin a new one with `edgechat ask -c --new`"


def joined_by_role(system: str, saved: Iterable[Message]) -> list[tuple[request.Message, tuple[int, ...]]]:
    """The messages to send for a conversation, each with the ids of the saved messages it consists of.

    Empty answers are left out. Neighbouring messages of one role are joined, because many chat templates refuse two
    in a row; this happens where a question got no answer.
    """
    joined: list[tuple[request.Message, tuple[int, ...]]] = [(request.Message("system", system), ())] if system else []
    for each in saved:
        text = each.full_text
        images = tuple(base64.b64encode(file.image).decode("ascii") for file in each.attachments if file.image)
        if not text and not images:
            continue
        if joined and joined[-1][0].role == each.role:
            before, ids = joined[-1]
            text = f"{before.content}\n\n{text}"
            joined[-1] = (request.Message(each.role, text, (*before.images, *images)), (*ids, each.id))
        else:
            joined.append((request.Message(each.role, text, images), (each.id,)))
    return joined


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """The messages of a conversation that are sent to the engine."""

    messages: tuple[request.Message, ...]
    ids: tuple[tuple[int, ...], ...]
    """For each message after the system message, the ids of the saved messages it consists of."""
    unread: Trimmed | None
    """The messages that are not sent because an earlier answer had no room for them; None when all are sent."""

    @classmethod
    def of(
        cls,
        history: History,
        conversation: Conversation,
        *,
        n_ctx: int | None = None,
        before: int | None = None,
        draft: Message | None = None,
    ) -> PromptMessages:
        """Collect the messages from where the last prompt began; all of them when ``n_ctx`` is larger than it was.

        Args:
            history: of the conversation.
            conversation: whose messages.
            n_ctx: the context that is asked for.
            before: leave out the saved message with this id and those after it.
            draft: a message that is not saved and comes last.
        """
        start = history.context_start(conversation.id)
        if start is not None and n_ctx is not None and n_ctx > start.n_ctx:
            start = None
        since = None if start is None else start.message
        saved = history.messages(conversation.id, since=since, before=before)
        joined = joined_by_role(conversation.system, [*saved, draft] if draft is not None else saved)
        if draft is not None and (not joined or joined[-1][0].role != draft.role):
            joined.append((request.Message(draft.role, ""), ()))  # a draft that is still empty
        messages = tuple(message for message, _ in joined)
        system, _ = conversation_trimming.split(messages)
        unread = None
        if start is not None:
            messages = conversation_trimming.apply(messages, conversation_trimming.Cut(0, start.summary))
            unread = Trimmed(history.count_unread(conversation.id, start), start.n_ctx, start.summary, is_new=False)
        return cls(messages, tuple(ids for _, ids in joined[len(system) :]), unread)

    def after_trim(self, event: Trimmed) -> tuple[ContextStart, Trimmed]:
        """Where the next prompt begins after the engine trimmed this one, and the event counted in saved messages."""
        before = 0 if self.unread is None else self.unread.messages
        n_unread = before + sum(len(ids) for ids in self.ids[: event.messages])
        return ContextStart(self.ids[event.messages][0], event.n_ctx, event.summary), replace(event, messages=n_unread)


class AnswerRecorder:
    """Saves one answer while the engine's events arrive. A disk that fails does not end the answer.

    Args:
        history: open for writing.
        conversation: id of the conversation that gets the answer.
        prompt: what the engine was sent; None leaves trimming unrecorded.
    """

    def __init__(self, history: History, conversation: int, prompt: PromptMessages | None) -> None:
        self._history = history
        self._conversation = conversation
        self._prompt = prompt
        self.answer: StreamingAnswer | None = None
        self.started: Started | None = None
        """The latest start of the answer: an engine that restarted starts it again."""
        self.content: list[str] = []
        self.thought: list[str] = []
        self.fault: StateError | None = None
        """The first error of the disk. Writing is tried again with the next event."""

    def record(self, event: Event) -> Event:
        """Save what an event adds to the answer. Returns the event; a ``Trimmed`` one counted in saved messages."""
        if isinstance(event, Trimmed) and self._prompt is not None:
            start, event = self._prompt.after_trim(event)
            self._attempt(lambda: self._history.set_context_start(self._conversation, start))
        elif isinstance(event, Started):
            if self.started is None:
                self._attempt(lambda: self._start(event))
            self.started = event
        elif isinstance(event, Text):
            (self.thought if event.is_thought else self.content).append(event.text)
            if (answer := self.answer) is not None:
                self._attempt(lambda: answer.append(event.text, is_thought=event.is_thought))
        elif isinstance(event, Done) and self.answer is not None:
            timing = {**event.timing, "load_s": event.load_s}
            self._attempt(lambda: self.finish(event.finish_reason, event.usage, timing))
        return event

    def finish(self, finish_reason: str, usage: Mapping[str, int], timing: Mapping[str, float]) -> int:
        """Save the end of the answer; returns its message id.

        Raises:
            StateError: it could not be written.
        """
        if self.answer is None:
            raise self.fault or StateError("The answer could not be saved.")
        self.answer.finish(finish_reason, usage=usage, timing=timing)
        return self.answer.message

    def is_refused(self, error: EdgechatError) -> bool:
        """Whether ``error`` refuses the question before an answer began.

        The question must then be retracted: in the conversation it would be refused again with every later one.
        """
        return self.started is None and isinstance(error, (InvalidInputError, NoModelError))

    def close(self) -> None:
        """Save an unfinished answer as a partial one; an error is left in :attr:`fault`."""
        if self.answer is not None:
            self._attempt(self.answer.close)

    def _start(self, event: Started) -> None:
        self.answer = self._history.start_answer(self._conversation, event.model, event.quant)

    def _attempt(self, write: Callable[[], object]) -> None:
        try:
            write()
        except StateError as error:
            self.fault = self.fault or error


class Turn:
    """A question of ``edgechat ask -c`` that is on disk, and its answer. Closing the turn closes the history too.

    Args:
        history: open for writing.
        conversation: the conversation that the question belongs to.
        question: id of the message that asks it.
    """

    def __init__(self, history: History, conversation: Conversation, question: int) -> None:
        self._history = history
        self._conversation = conversation
        self._question = question
        self._recorder = AnswerRecorder(history, conversation.id, None)
        self._unread: Trimmed | None = None

    @classmethod
    def begin(cls, history: History, question: str, *, system: str | None, default_system: str, is_new: bool) -> Turn:
        """Save a question in the last conversation of ``ask -c``, or in a new one.

        Args:
            history: open for writing; closed when this fails.
            question: the user's text.
            system: replaces the conversation's system prompt, when not None.
            default_system: the system prompt of a new conversation.
            is_new: start a new conversation in any case.

        Raises:
            StateError: it could not be saved; nothing was asked.
        """
        try:
            conversation = None if is_new else history.last("ask")
            if conversation is None:
                conversation = history.start(system=default_system if system is None else system, origin="ask")
            elif system is not None and system != conversation.system:
                conversation = history.set_system(conversation.id, system)
            return cls(history, conversation, history.add_question(conversation.id, question).id)
        except BaseException:
            history.close()
            raise

    @property
    def fault(self) -> StateError | None:
        """Why the answer could not be saved; None when it was."""
        return self._recorder.fault

    @property
    def cache_name(self) -> str:
        """The name under which the engine may keep this conversation's KV prefix on disk."""
        return f"conversation {self._conversation.id}"

    def messages(self, n_ctx: int | None = None) -> tuple[request.Message, ...]:
        """The messages to send, the question last; without those that a context of ``n_ctx`` had no room for."""
        prompt = PromptMessages.of(self._history, self._conversation, n_ctx=n_ctx)
        self._recorder = AnswerRecorder(self._history, self._conversation.id, prompt)
        self._unread = prompt.unread
        return prompt.messages

    def record(self, events: Iterator[Event]) -> Iterator[Event]:
        """Save the answer and pass its events on, each after what it says is on disk.

        Raises:
            ContextOverflowError: the conversation has become too long; with both numbers and what to do.
            EdgechatError: as ``events``; a question that was refused is no longer part of the conversation.
        """
        if self._unread is not None:
            yield self._unread
        try:
            for event in events:
                yield self._recorder.record(event)
        except EdgechatError as error:
            overflow = error if isinstance(error, ContextOverflowError) and not self._is_alone() else None
            if self._recorder.is_refused(error):
                self._retract()
            if overflow is not None:
                raise ContextOverflowError(overflow.prompt_tokens, overflow.n_ctx, hint=_hint(overflow)) from error
            raise

    def _is_alone(self) -> bool:
        return len(self._history.messages(self._conversation.id, 2)) < 2

    def _retract(self) -> None:
        """Take the refused question back, and with it a conversation that has no other message."""
        # The user must see the refusal, not an error of the disk; a question that stays is sent with the next one.
        with contextlib.suppress(StateError):
            self._history.retract(self._question)
            if not self._history.conversation(self._conversation.id).messages:
                self._history.delete(self._conversation.id)

    def close(self) -> None:
        """Save what there is of the answer, and close the history. Sets :attr:`fault` when that fails."""
        self._recorder.close()
        self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hint(error: ContextOverflowError) -> str:
    return f"{OVERFLOW_HINT}." if error.is_largest else f"{OVERFLOW_HINT}, or ask for a larger context with --ctx."
