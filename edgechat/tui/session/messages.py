"""What crosses from the worker threads to the screen. Plain facts; nothing here draws or decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from edgechat.tui.context_gauge import UNCUT, Outlook

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.chat import conversation as chat
    from edgechat.engine.protocol.events import Started
    from edgechat.errors import EdgechatError


class Kept(Message):
    """A question is on disk (or, while the disk refuses, in memory)."""

    def __init__(self, conversation: chat.Conversation, question: chat.Message) -> None:
        super().__init__()
        self.conversation = conversation
        self.question = question


class Retracted(Message):
    """A message and all behind it were taken out of their conversation."""

    def __init__(self, message: int) -> None:
        super().__init__()
        self.message = message


class Waiting(Message):
    """Why no text comes yet: queued, loading, reading; ``""`` when nothing is waited for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Begun(Message):
    """The engine accepted the prompt; the answer has its row in the history."""

    def __init__(self, started: Started, message: int) -> None:
        super().__init__()
        self.started = started
        self.message = message


class Noted(Message):
    """Something the person should know; the answer goes on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Ended(Message):
    """The answer is over and kept.

    Args:
        answer: what was kept of it; None when it never began.
        error: why it ended early, or None.
        returned: the question, when it was refused and is not part of the conversation any more.
        n_ctx: cells of the context it was generated in; 0 when it never began.
        outlook: what of the conversation is not read any more, and what would go next.
    """

    def __init__(
        self,
        answer: chat.Message | None,
        error: EdgechatError | None,
        returned: chat.Message | None,
        n_ctx: int,
        outlook: Outlook = UNCUT,
    ) -> None:
        super().__init__()
        self.answer = answer
        self.error = error
        self.returned = returned
        self.n_ctx = n_ctx
        self.outlook = outlook


class NotKept(Message):
    """The disk refuses: from here on the conversation lives in memory."""

    def __init__(self, error: EdgechatError) -> None:
        super().__init__()
        self.error = error


class SwitchAsked(Message):
    """Another client keeps another model resident: may it be replaced? ``decide`` must be called, once."""

    def __init__(self, question: str, decide: Callable[[bool], None]) -> None:
        super().__init__()
        self.question = question
        self.decide = decide
