"""What an answer in the making tells its reader, in order. Plain data; the client makes these from frames.

``Loading* Trimmed? Queued* Started Prefill* Text* Done`` is the normal order, with ``Embedded*`` in place of text where
vectors were asked for. ``Recovered`` may stand anywhere after the engine died and came back. Text is already free of
control characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgechat.errors import EngineProtocolError


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits, for the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded; ``fraction`` runs from 0 to 1."""

    fraction: float
    model: str


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt was accepted."""

    model: str
    quant: str
    n_ctx: int
    prompt_tokens: int
    cached_tokens: int
    languages: tuple[str, ...]
    is_starter: bool
    stepped_down_from: str | None
    n_ctx_train: int = 0
    """The largest context that the model was trained on; 0 where nobody said."""
    stepped_down_why: str = ""
    """What keeps the plan in ``stepped_down_from`` from being used, to begin a sentence with."""

    @property
    def step_down(self) -> str:
        """What a person is told when a smaller plan is used than this board could have; else ``""``."""
        if not self.stepped_down_from:
            return ""
        return f"{self.stepped_down_why or 'Memory is short'}: using a smaller plan than {self.stepped_down_from}."


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Earlier messages of the conversation are not read by the model: with them it would not fit."""

    messages: int
    """How many, the system message not counted."""
    n_ctx: int
    summary: str
    """What the model reads in their place; ``""`` where it reads nothing."""
    is_new: bool
    """False where the same ones were left out before."""

    @property
    def note(self) -> str:
        """What a person is told."""
        one = self.messages == 1
        told = f"{self.messages} earlier message{' is' if one else 's are'} no longer read by the model"
        why = f": the context holds {self.n_ctx} tokens."
        return told + why + (f" It reads a summary of {'it' if one else 'them'}." if self.summary else "")


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prompt tokens processed so far."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, or of the thoughts before it."""

    text: str
    tokens: tuple[int, ...]
    is_thought: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of one text of a request, of length 1."""

    index: int
    """Which text, from 0. One that an engine's death interrupted may bring vectors again that were there."""
    vector: str
    """Little-endian 32-bit floats in base64 (:mod:`edgechat.engine.protocol.vector`)."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The engine died and was brought back; the answer goes on where it stopped."""

    cause: str
    note: str


@dataclass(frozen=True, slots=True)
class Slowed:
    """The engine holds back (level 1 to 3), or no longer does (0), so that the board need not slow itself."""

    level: int
    n_threads: int
    pause_s: float
    """Seconds that whoever has many requests, and nobody waiting for them, lets pass between two."""
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the answer.

    ``finish_reason`` is ``stop``, ``length``, ``cancelled`` or ``timeout``.
    """

    finish_reason: str
    usage: dict[str, int]
    timing: dict[str, float]
    seed: int
    is_context_full: bool
    peak_rss_bytes: int
    load_s: float


Event = Queued | Trimmed | Loading | Started | Prefill | Text | Embedded | Recovered | Slowed | Done

_BY_TYPE: dict[str, type[Any]] = {
    "queued": Queued,
    "loading": Loading,
    "trimmed": Trimmed,
    "started": Started,
    "prefill": Prefill,
    "text": Text,
    "embedded": Embedded,
    "slowed": Slowed,
    "done": Done,
}


def to_frame(event: Event, request_id: int) -> dict[str, Any]:
    """The frame that carries an event of one request."""
    kind = type(event)
    name = next(name for name, each in _BY_TYPE.items() if each is kind)
    return {"type": name, "id": request_id, **{field: getattr(event, field) for field in kind.__slots__}}


def from_frame(frame: dict[str, Any]) -> Event | None:
    """The event in a frame, or None when the frame is not an event.

    Raises:
        EngineProtocolError: it is one, but a field is missing.
    """
    kind = _BY_TYPE.get(frame["type"])
    if kind is None:
        return None
    if missing := [name for name in kind.__slots__ if name not in frame]:
        raise EngineProtocolError(f"The engine sent {frame['type']!r} without {missing[0]!r}.")
    fields = {name: frame[name] for name in kind.__slots__}
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    event: Event = kind(**fields)
    return event
