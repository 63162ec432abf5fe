"""Asks the engine in a worker thread: the question is on disk before the engine hears it.

Holds one engine client. Tells the screen by messages, text through a buffer that the screen empties when it draws.
Knows no widget, and imports the engine's side when the first question comes.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import EdgechatError
from edgechat.tui.session.messages import Ended, Kept, Retracted, SwitchAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from textual.message import Message

    from edgechat.chat.conversation import Message as ChatMessage
    from edgechat.engine.client.client import EngineClient
    from edgechat.engine.protocol.events import Text
    from edgechat.paths import Paths
    from edgechat.tui.session.history_store import Keeper


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
    model: str | None = None
    """None leaves the choice to the engine."""
    n_ctx: int | None = None
    sampling: Mapping[str, float | int] = field(default_factory=dict)
    max_tokens: int | None = None
    think: bool = False
    overflow: str = "trim"
    """What becomes of a conversation that has outgrown the context."""


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
        self._refuge: Path | None = None
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
        # The engine's side: 60 ms that the first frame need not wait for.
        from edgechat.chat.turn import Reading  # noqa: PLC0415
        from edgechat.engine.protocol.request import Request, Wish  # noqa: PLC0415
        from edgechat.tui.session.answer_stream import Telling  # noqa: PLC0415

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
            reading = Reading.of(history, history.conversation(number), n_ctx=question.n_ctx)
            request = Request(
                messages=reading.messages,
                wish=Wish.of(question.model, question.n_ctx),
                sampling=dict(question.sampling),
                max_tokens=question.max_tokens,
                think=question.think,
                overflow=question.overflow,
                # Numbers of a copy in memory may come to mean another conversation on disk.
                keep=f"conversation {number}" if self.keeper.is_durable else None,
            )
        except EdgechatError as error:
            self.post(Ended(None, error, kept, 0))
            return
        Telling(self, number, kept, reading).tell(request)

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
        from edgechat.engine.client.client import EngineClient  # noqa: PLC0415
        from edgechat.engine.protocol import unix_socket  # noqa: PLC0415 - as above
        from edgechat.tui.session import fallback_socket  # noqa: PLC0415

        if self._client is None:
            if (peer := unix_socket.connect(self._paths.state)) is not None:
                peer.close()  # an engine that runs needs nothing written
            else:
                self._paths, self._refuge = fallback_socket.usable(self._paths)
            self._client = EngineClient(self._paths, keeps=True, may_switch=self._may_switch)
        return self._client

    def drop_client(self) -> None:
        """Hang up; an interrupted client can be asked nothing more."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._is_closed and self._refuge is not None:
            shutil.rmtree(self._refuge, ignore_errors=True)

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
