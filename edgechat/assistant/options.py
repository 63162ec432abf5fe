"""The options of the assistant's calls, by name and type: the same for the blocking and the asynchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgechat.assistant.tools import Tool
    from edgechat.engine.protocol.request import Message
    from edgechat.tasks.language import Language


Prompt = Union[str, "Sequence[Message]"]
"""The user's message, or a conversation whose last message is the question."""


class OpenOptions(TypedDict, total=False):
    """Options of ``open`` beside the model."""

    n_ctx: int | None
    keep_alive: str | None
    allow_step_down: bool


class CallOptions(TypedDict, total=False):
    """Options of every call."""

    timeout: float | None
    priority: int
    on_start: Callable[[Callable[[], None]], None] | None


class JsonOptions(CallOptions, total=False):
    """Options of ``generate``."""

    system: str | None
    images: Sequence[str | Path]
    max_tokens: int | None
    temperature: float
    seed: int | None


class AskOptions(CallOptions, total=False):
    """Options of ``ask`` and ``stream``."""

    system: str | None
    images: Sequence[str | Path]
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    stop: Sequence[str]
    think: bool
    overflow: str
    tools: Sequence[Tool]
    tool_choice: str


class EmbedOptions(CallOptions, total=False):
    """Options of ``embed``."""

    dimensions: int | None


class RunOptions(CallOptions, total=False):
    """Options of ``run``."""

    language: Language | None
    seed: int | None
