"""What a client asks the engine for: plain data that travels as JSON. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from edgechat.errors import InvalidInputError

DEFAULT_MAX_TOKENS = 1024
"""Longest answer unless the caller says otherwise; KV cells for it are reserved before the answer starts."""

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; the defaults are edgechat's for every model without its own.

    Raises:
        InvalidInputError: a value is out of its range.
    """

    temperature: float = 0.7
    """0 decodes greedily."""
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int | None = None
    """None draws one; the result says which."""

    def __post_init__(self) -> None:
        checks = (
            ("temperature", 0 <= self.temperature <= 5, "0 to 5"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, up to 1"),
            ("min_p", 0 <= self.min_p < 1, "0 or more, below 1"),
            ("repeat_penalty", 0.5 <= self.repeat_penalty <= 2, "0.5 to 2"),
            ("seed", self.seed is None or 0 <= self.seed < 1 << 32, "0 to 4294967295"),
        )
        for name, is_good, allowed in checks:
            if not is_good:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; it must be {allowed}.")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Which model a client wants resident; None means: whatever the machine's owner chose."""

    model: str | None = None
    n_ctx: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to generate.

    Raises:
        InvalidInputError: a field is out of range, or a role is unknown.
    """

    messages: tuple[Message, ...]
    wish: Wish = Wish()
    sampling: dict[str, float | int] = field(default_factory=dict)
    """Only what the caller set; the rest comes from the model's own defaults, then edgechat's."""
    max_tokens: int | None = None
    """None means :data:`DEFAULT_MAX_TOKENS`, or less where the context is nearly full."""
    stop: tuple[str, ...] = ()
    think: bool = False
    """Let a model that can think do so; its thoughts arrive on their own channel."""
    timeout_s: float | None = None
    """The engine gives the slot back after this long, whatever the client does."""
    resume: tuple[int, ...] = ()
    """Token ids already received: generation goes on behind them."""

    def __post_init__(self) -> None:
        if not self.messages:
            raise InvalidInputError("There is nothing to answer: the conversation is empty.")
        for message in self.messages:
            if message.role not in ROLES:
                raise InvalidInputError(f"Unknown role {message.role!r}.", hint=f"Use one of {', '.join(ROLES)}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidInputError(f"-n is {self.max_tokens}; an answer has at least one token.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Request:
        """Inverse of :meth:`to_dict`.

        Raises:
            InvalidInputError: a field is missing, unknown or of the wrong type.
        """
        try:
            fields = dict(data)
            fields["messages"] = tuple(Message(str(m["role"]), str(m["content"])) for m in fields["messages"])
            fields["wish"] = Wish(**fields.get("wish", {}))
            fields["stop"] = tuple(fields.get("stop", ()))
            fields["resume"] = tuple(int(token) for token in fields.get("resume", ()))
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"The request is malformed: {error}.") from error
