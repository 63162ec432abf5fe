"""Asks the engine in a worker thread: the question is on disk before the engine hears it, the answer as it comes.

Holds one engine client. Tells the screen by messages, text through a buffer that the screen empties when it draws.
Knows no widget.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgechat.chat.turn import as_messages
from edgechat.engine.client import EngineClient
from edgechat.engine.events import Done, Event, Loading, Prefill, Queued, Recovered, Started, Text
from edgechat.engine.request import Request, Wish
from edgechat.errors import ContextOverflowError, EdgechatError, InvalidInputError, NoModelError, StateError
from edgechat.tui.messages import Begun, Ended, Kept, Noted, Retracted, SwitchAsked, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textual.message import Message

    from edgechat.chat.answer import Answer
    from edgechat.chat.conversation import Message as ChatMessage
    from edgechat.paths import Paths
    from edgechat.tui.keeping import Keeper

_READING_SHOWN = 256
"""Shorter prompts are read before anybody could read about it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the person wants answered."""

    text: str | None
    """None: the conversation as it stands, its last question once more."""
    conversation: int | None = None
    """None begins a new one."""
    system: str = ""
    """System prompt of a conversation that begins."""
    retract: int | None = None
    """The message that goes, with all behind it, before the question is asked."""
    wish: Wish = field(default_factory=Wish)
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    max_tokens: int | None = None
    think: bool = False


class TextBuffer:
    """Text on its way from the engine's thread to the screen, which takes it as often as it can draw."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: list[str] = []
        self._thought: list[str] = []
        self.tokens = 0
        self.began: float | None = None

    def reset(self) -> None:
        """Forget everything: a new answer begins."""
        with self._lock:
            self._text, self._thought, self.tokens, self.began = [], [], 0, None

    def put(self, event: Text) -> None:
        """Add a piece."""
        with self._lock:
            (self._thought if event.is_thought else self._text).append(event.text)
            self.tokens += len(event.tokens)
            if self.began is None:
                self.began = time.monotonic()

    def take(self) -> tuple[str, str]:
        """Text and thoughts since the last time."""
        with self._lock:
            taken = "".join(self._text), "".join(self._thought)
            self._text, self._thought = [], []
        return taken

    def tokens_per_second(self) -> float | None:
        """Pace of the answer so far; None before it has one."""
        began, tokens = self.began, self.tokens
        if began is None or tokens < 2 or (elapsed := time.monotonic() - began) <= 0:
            return None
        return (tokens - 1) / elapsed


class Dialogue:
    """One person's talk with the engine; one answer at a time.

    Args:
        paths: whose engine.
        keeper: where questions and answers are kept.
        post: takes messages for the screen, from any thread.
    """

    def __init__(self, paths: Paths, keeper: Keeper, post: Callable[[Message], object]) -> None:
        self._paths = paths
        self.keeper = keeper
        self.post = post
        self._client: EngineClient | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._is_asking = False
        self._is_closed = False
        self._decided: Callable[[bool], None] | None = None
        self.buffer = TextBuffer()

    def ask(self, question: Question) -> None:
        """Keep the question, answer it, keep the answer. Runs in a worker thread; ends with an ``Ended``."""
        with self._lock:
            if self._is_closed:
                return
            self._is_asking = True
        if self._stopped.is_set():
            self.drop_client()  # it may have been stopped just when it had ended
            self._stopped.clear()
        self.buffer.reset()
        try:
            self._ask(question)
        finally:
            with self._lock:
                self._is_asking = False
                if self._is_closed:
                    self.drop_client()

    def _ask(self, question: Question) -> None:
        kept: ChatMessage | None = None
        number = question.conversation
        try:
            if question.retract is not None:
                self.keeper.retract(question.retract)
                self.post(Retracted(question.retract))
            if number is None:
                number = self.keeper.start(system=question.system).id
            if question.text is not None:
                kept = self.keeper.say(number, question.text)
                self.post(Kept(self.keeper.history.conversation(number), kept))
            history = self.keeper.history
            system = history.conversation(number).system
            messages = as_messages(system, history.messages(number))
            request = Request(
                messages=messages,
                wish=question.wish,
                sampling=dict(question.sampling),
                max_tokens=question.max_tokens,
                think=question.think,
                # Numbers of a copy in memory may come to mean another conversation on disk.
                keep=f"conversation {number}" if self.keeper.is_durable else None,
            )
        except EdgechatError as error:
            self.post(Ended(None, error, kept, 0))
            return
        _Telling(self, number, kept).tell(request)

    def stop(self) -> None:
        """Stop the running answer; what came of it stays."""
        self._stopped.set()
        if self._decided is not None:
            self._decided(False)
        if (client := self._client) is not None:
            client.interrupt()

    def close(self) -> None:
        """Stop, and hang up: at once, or when the running answer has noticed."""
        with self._lock:
            self._is_closed = True
            is_asking = self._is_asking
        if is_asking:
            self.stop()
        else:
            self.drop_client()

    @property
    def is_stopped(self) -> bool:
        """True once :meth:`stop` was called for the running answer."""
        return self._stopped.is_set()

    def client(self) -> EngineClient:
        """The connection to ask through."""
        if self._client is None:
            self._client = EngineClient(self._paths, keeps=True, may_switch=self._may_switch)
        return self._client

    def drop_client(self) -> None:
        """Hang up; an interrupted client can be asked nothing more."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _may_switch(self, question: str) -> bool:
        done = threading.Event()
        answers: list[bool] = []

        def decide(answer: bool) -> None:
            answers.append(answer)
            done.set()

        self._decided = decide
        if self._stopped.is_set():
            return False
        self.post(SwitchAsked(question, decide))
        done.wait()
        self._decided = None
        return answers[0]


class _Telling:
    """One answer in the making."""

    def __init__(self, dialogue: Dialogue, conversation: int, question: ChatMessage | None) -> None:
        self._dialogue = dialogue
        self._keeper = dialogue.keeper
        self._post = dialogue.post
        self._conversation = conversation
        self._question = question
        self._answer: Answer | None = None
        self._started: Started | None = None
        self._done: Done | None = None
        self._content: list[str] = []
        self._thought: list[str] = []
        self._asked_at = time.monotonic()
        self._first_s: float | None = None
        self._fault: StateError | None = None

    def tell(self, request: Request) -> None:
        error: EdgechatError | None = None
        events = self._dialogue.client().generate(request)
        try:
            for event in events:
                if self._dialogue.is_stopped:
                    break
                self._on(event)
        except EdgechatError as caught:
            error = None if self._dialogue.is_stopped else caught
        finally:
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
            self._post(Waiting(f"loading {event.model} {event.fraction:.0%}"))
        elif isinstance(event, Prefill):
            if event.total >= _READING_SHOWN:
                self._post(Waiting(f"reading {event.done} of {event.total} tokens"))
        elif isinstance(event, Recovered):
            self._post(Noted(event.note))
        elif isinstance(event, Started):
            self._on_started(event)
        elif isinstance(event, Done):
            self._done = event

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
        if event.stepped_down_from:
            self._post(Noted(f"Memory ran out earlier: using a smaller plan than {event.stepped_down_from}."))

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
        self._post(Ended(answer, error, returned, n_ctx))

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
        from edgechat.chat.conversation import Message as ChatMessage  # noqa: PLC0415 - only when a disk fails

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
