"""The events of an answer, as plain data; the client makes them from frames.

The normal order is ``Loading* Trimmed? Queued* Started Prefill* Text* Done``, with ``Embedded*`` in place of text for
embedding requests and ``Prefilled`` for prefill-only ones. ``Recovered`` may come anywhere, after the engine died and
was restarted. The client has removed control characters from texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgechat.errors import EngineProtocolError


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits for the given reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded; ``fraction`` runs from 0 to 1."""

    fraction: float
    model: str

    @property
    def note(self) -> str:
        """What front ends show: ``loading MODEL 40%``."""
        return f"loading {self.model} {self.fraction:.0%}"


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
    """The largest context that the model was trained on; 0 where it is unknown."""
    stepped_down_why: str = ""
    """Why the plan in ``stepped_down_from`` is not used, as the beginning of a sentence."""

    @property
    def step_down(self) -> str:
        """The message for the user when a smaller plan is used than the best one; else ``""``."""
        if not self.stepped_down_from:
            return ""
        return f"{self.stepped_down_why or 'Memory is short'}: using a smaller plan than {self.stepped_down_from}."


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Earlier messages of the conversation were left out because it does not fit the context."""

    messages: int
    """How many, without the system message."""
    n_ctx: int
    summary: str
    """The summary that the model reads in their place, or ``""``."""
    is_new: bool
    """False where the same messages were left out in an earlier turn."""

    @property
    def note(self) -> str:
        """The message for the user."""
        one = self.messages == 1
        start = f"{self.messages} earlier message{' is' if one else 's are'} no longer read by the model"
        why = f": the context holds {self.n_ctx} tokens."
        return start + why + (f" It reads a summary of {'it' if one else 'them'}." if self.summary else "")


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prompt tokens processed so far."""

    done: int
    total: int

    @property
    def note(self) -> str:
        """What front ends show: ``reading 512 of 2048 tokens``."""
        return f"reading {self.done} of {self.total} tokens"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer, or of the model's thoughts before it."""

    text: str
    tokens: tuple[int, ...]
    is_thought: bool = False


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log probabilities of the tokens of the next :class:`Text`; sent only where the request asks for them."""

    entries: tuple[dict[str, Any], ...]
    """One a token, in OpenAI's form: ``token``, ``logprob``, ``bytes``, ``top_logprobs``."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of one text of a request, scaled to length 1."""

    index: int
    """Index of the text, from 0. After a restart of the engine, a vector may come a second time."""
    vector: str
    """Little-endian 32-bit floats in base64 (:mod:`edgechat.engine.protocol.vector`)."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """How far a prefill-only request got, before its :class:`Done`."""

    prompt_tokens: int
    """Tokens that it wanted in the cache, as far as its ``prefill_limit`` allows."""
    cached_tokens: int
    """Of these, tokens that were there already, or were restored."""
    read_tokens: int
    """Tokens that it computed."""
    is_kept: bool
    """Whether they are on disk."""

    @property
    def is_complete(self) -> bool:
        """False where another request, heat or a battery stopped it; asked again, it goes on from there."""
        return self.cached_tokens + self.read_tokens >= self.prompt_tokens


@dataclass(frozen=True, slots=True)
class Recovered:
    """The engine died and was restarted; the answer continues where it stopped."""

    cause: str
    note: str


@dataclass(frozen=True, slots=True)
class Slowed:
    """The engine is throttled (level 1 to 3) or no longer (0); see :mod:`edgechat.engine.throttle.throttle_levels`."""

    level: int
    n_threads: int
    pause_s: float
    """Seconds that a batch should wait between two requests."""
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of the answer.

    ``finish_reason`` is ``stop``, ``length``, ``cancelled`` or ``timeout``, or ``prefilled`` where nothing was to be
    generated; the client makes it ``empty`` where the
    model ended without a text, unless stop strings or a schema were given.
    """

    finish_reason: str
    usage: dict[str, int]
    timing: dict[str, float]
    seed: int
    is_context_full: bool
    peak_rss_bytes: int
    load_s: float


Event = (
    Queued | Trimmed | Loading | Started | Prefill | Prefilled | Logprobs | Text | Embedded | Recovered | Slowed | Done
)

_BY_TYPE: dict[str, type[Any]] = {
    "queued": Queued,
    "loading": Loading,
    "trimmed": Trimmed,
    "started": Started,
    "prefill": Prefill,
    "logprobs": Logprobs,
    "text": Text,
    "embedded": Embedded,
    "prefilled": Prefilled,
    "slowed": Slowed,
    "done": Done,
}


def to_frame(event: Event, request_id: int) -> dict[str, Any]:
    """The frame for an event of one request."""
    kind = type(event)
    name = next(name for name, each in _BY_TYPE.items() if each is kind)
    return {"type": name, "id": request_id, **{field: getattr(event, field) for field in kind.__slots__}}


def from_frame(frame: dict[str, Any]) -> Event | None:
    """The event in a frame, or None when the frame is not an event.

    Raises:
        EngineProtocolError: the event lacks a field.
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
