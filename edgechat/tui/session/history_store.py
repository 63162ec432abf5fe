"""The history as the UI holds it: on disk, or in memory while the disk refuses. Knows no widget."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from edgechat.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgechat.chat.conversation import Conversation, Message
    from edgechat.chat.history import History
    from edgechat.paths import Paths

_T = TypeVar("_T")


class Keeper:
    """Opens the history when it is first asked for and, when the disk fails, goes on with a copy in memory.

    Args:
        paths: whose history.
        on_fault: told once why nothing is kept any more; called from whatever thread met the fault.
    """

    def __init__(self, paths: Paths, on_fault: Callable[[StateError], None]) -> None:
        self._paths = paths
        self._on_fault = on_fault
        self._lock = threading.RLock()
        self.fault: StateError | None = None
        self._history: History | None = None

    @property
    def history(self) -> History:
        """The history, opened: a disk that does not answer at once must not keep the first frame away."""
        with self._lock:
            if self._history is None:
                from edgechat.chat.history import History  # noqa: PLC0415 - 40 ms that the first frame need not wait for

                try:
                    self._history = History.open(self._paths)
                except StateError as error:
                    self._fall_back(error)
            assert self._history is not None  # noqa: S101 - one of the two has set it
            return self._history

    @property
    def is_durable(self) -> bool:
        """False while what is said is only in memory."""
        return self.fault is None

    def say(self, conversation: int, text: str) -> Message:
        """Keep a question; in memory when the disk refuses it."""
        return self._insisting(lambda history: history.say(conversation, text))

    def start(self, *, title: str = "", system: str = "") -> Conversation:
        """Begin a conversation; in memory when the disk refuses it."""
        return self._insisting(lambda history: history.start(title=title, system=system))

    def retract(self, message: int) -> None:
        """Take a message and all behind it out of the conversation."""
        self._insisting(lambda history: history.retract(message))

    def rewrite(
        self,
        conversation: int,
        lost: Message,
        *,
        finish_reason: str,
        usage: Mapping[str, int],
        timing: Mapping[str, float],
        error: StateError,
    ) -> Message:
        """Keep in memory an answer whose last words the disk refused, in place of what it has of it."""
        history = self._fall_back(error)
        if lost.id:
            history.retract(lost.id)
        with history.answer(conversation, lost.model, lost.quant) as answer:
            answer.append(lost.thought, is_thought=True)
            answer.append(lost.content)
            answer.finish(finish_reason, usage=usage, timing=timing)
        return history.messages(conversation, 1)[0]

    def close(self) -> None:
        """Close it."""
        with self._lock:
            if self._history is not None:
                self._history.close()

    def _insisting(self, change: Callable[[History], _T]) -> _T:
        try:
            return change(self.history)
        except StateError as error:
            return change(self._fall_back(error))

    def _fall_back(self, error: StateError) -> History:
        with self._lock:
            if self.fault is None:
                # The one on disk stays open: an answer may still be trying to write its end there.
                self._history = self._copy()
                self.fault = error
                self._on_fault(error)
            return self.history

    def _copy(self) -> History:
        from edgechat.chat.database import Database  # noqa: PLC0415 - as above
        from edgechat.chat.history import History  # noqa: PLC0415

        try:
            return History.open_copy(self._paths)
        except StateError:
            # Not even readable. The chat goes on with an empty history; ``fault`` says why.
            return History(Database.in_memory())
