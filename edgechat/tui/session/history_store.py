"""The history as the terminal UI uses it: on disk, or a copy in memory after the disk failed; read in pages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from edgechat.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgechat.chat.conversation import Attachment, Conversation, Message
    from edgechat.chat.history import History
    from edgechat.paths import Paths

_T = TypeVar("_T")


class HistoryStore:
    """Opens the history at its first use and, when the disk fails, continues with a copy in memory.

    Args:
        paths: whose history.
        on_fault: called once with the reason why nothing is saved any more, from the thread where writing failed.
    """

    def __init__(self, paths: Paths, on_fault: Callable[[StateError], None]) -> None:
        self._paths = paths
        self._on_fault = on_fault
        self._lock = threading.RLock()
        self.fault: StateError | None = None
        self._history: History | None = None

    @property
    def history(self) -> History:
        """The open history. Opened here and not at the start, so that a slow disk does not delay the first frame."""
        with self._lock:
            if self._history is None:
                from edgechat.chat.history import History  # noqa: PLC0415 - 40 ms that the first frame need not wait for

                try:
                    self._history = History.open(self._paths)
                except StateError as error:
                    self._fall_back(error)
            assert self._history is not None  # noqa: S101 - set above
            return self._history

    @property
    def is_durable(self) -> bool:
        """False when new messages are only in memory."""
        return self.fault is None

    def add_question(self, conversation: int, text: str, attachments: tuple[Attachment, ...] = ()) -> Message:
        """Save a question, in memory when the disk fails."""
        return self._with_fallback(lambda history: history.add_question(conversation, text, attachments))

    def start(self, *, title: str = "", system: str = "", sampling: Mapping[str, float] | None = None) -> Conversation:
        """Create a conversation, in memory when the disk fails."""
        return self._with_fallback(lambda history: history.start(title=title, system=system, sampling=sampling))

    def retract(self, message: int) -> None:
        """Take back a message and all after it."""
        self._with_fallback(lambda history: history.retract(message))

    def set_aside(self, message: int) -> None:
        """Leave a message and all after it as another version."""
        self._with_fallback(lambda history: history.set_aside(message))

    def choose(self, message: int) -> None:
        """Show the version of the conversation that leads through a message."""
        self._with_fallback(lambda history: history.choose(message))

    def save_in_memory(
        self,
        conversation: int,
        unsaved: Message,
        *,
        finish_reason: str,
        usage: Mapping[str, int],
        timing: Mapping[str, float],
        error: StateError,
    ) -> Message:
        """Save in memory an answer whose end could not be written, in place of the part that was."""
        history = self._fall_back(error)
        if unsaved.id:
            history.retract(unsaved.id)
        with history.start_answer(conversation, unsaved.model, unsaved.quant) as answer:
            answer.append(unsaved.thought, is_thought=True)
            answer.append(unsaved.content)
            answer.finish(finish_reason, usage=usage, timing=timing)
        return history.messages(conversation, 1)[0]

    def close(self) -> None:
        """Close the history."""
        with self._lock:
            if self._history is not None:
                self._history.close()

    def _with_fallback(self, change: Callable[[History], _T]) -> _T:
        try:
            return change(self.history)
        except StateError as error:
            return change(self._fall_back(error))

    def _fall_back(self, error: StateError) -> History:
        with self._lock:
            if self.fault is None:
                # The history on disk stays open: an answer may still be written there.
                self._history = self._copy()
                self.fault = error
                self._on_fault(error)
            return self.history

    def _copy(self) -> History:
        from edgechat.chat.history import History  # noqa: PLC0415 - as above
        from edgechat.chat.schema import HISTORY  # noqa: PLC0415
        from edgechat.storage.database import Database  # noqa: PLC0415

        try:
            return History.open_copy(self._paths)
        except StateError:
            # It cannot be read either: the chat continues with an empty history; ``fault`` has the reason.
            return History(Database.in_memory(HISTORY))


class MessagePages:
    """Reads the messages of one conversation, in order, from the history on disk or in memory."""

    def __init__(self, store: HistoryStore, conversation: int) -> None:
        self._store = store
        self._conversation = conversation

    def newest(self, limit: int) -> list[Message]:
        """The last ``limit`` messages."""
        return self._store.history.messages(self._conversation, limit)

    def before(self, message: int, limit: int) -> list[Message]:
        """The ``limit`` messages before a message."""
        return self._store.history.messages(self._conversation, limit, before=message)

    def after(self, message: int, limit: int) -> list[Message]:
        """The ``limit`` messages after a message."""
        return self._store.history.messages_from(self._conversation, message + 1, limit)

    def version(self, message: int) -> tuple[int, int]:
        """Which of its versions a message is, counted from 1, and how many there are."""
        known = self._store.history.versions(message)
        return (known.index(message) + 1, len(known)) if message in known else (1, 1)

    def around(self, message: int, limit: int) -> list[Message]:
        """``limit`` messages: half of them before ``message``, then itself and those after it."""
        half = limit // 2
        return [
            *self.before(message, half),
            *self._store.history.messages_from(self._conversation, message, limit - half),
        ]
