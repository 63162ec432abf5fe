"""Textual messages from the worker threads to the chat screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from edgechat.tui.context_gauge import NOTHING_TRIMMED, TrimForecast

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgechat.chat import conversation as chat
    from edgechat.engine.protocol.events import Started
    from edgechat.errors import EdgechatError


@dataclass
class QuestionSaved(Message):
    """A question was saved, on disk or in memory."""

    conversation: chat.Conversation
    question: chat.Message


@dataclass
class MessagesRetracted(Message):
    """A message and all after it were left: another version is being made."""

    message: int


@dataclass
class VersionRestored(Message):
    """No other version was made of a message: it is shown again, with all after it."""

    message: int


@dataclass
class StatusChanged(Message):
    """What the engine is doing before text comes: queued, loading, reading; ``""`` for nothing."""

    text: str


@dataclass
class AnswerStarted(Message):
    """The engine accepted the prompt."""

    started: Started
    message: int
    """Id of the answer; 0 when it could not be saved."""


@dataclass
class NoticePosted(Message):
    """A notice for the user; the answer continues."""

    text: str


@dataclass
class AnswerEnded(Message):
    """The answer has ended and is saved."""

    answer: chat.Message | None
    """The saved answer; None when it never started."""
    error: EdgechatError | None
    """Why it ended early, or None."""
    returned: chat.Message | None
    """The question, when it was refused and retracted."""
    n_ctx: int
    """Tokens of the context; 0 when the answer never started."""
    forecast: TrimForecast = NOTHING_TRIMMED


@dataclass
class SavingFailed(Message):
    """The disk failed: from now on the conversation is only in memory."""

    error: EdgechatError


@dataclass
class ModelSwitchRequested(Message):
    """Another client uses another model: may it be replaced? ``decide`` must be called exactly once."""

    question: str
    decide: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class NextAnswer:
    """What the title line says."""

    label: str
    """``NAME:QUANT``; empty where no model is installed."""
    reason: str
    better: str | None = None
    """A model that a new engine would choose, while another one is loaded."""
