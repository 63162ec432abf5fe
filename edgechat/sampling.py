"""Sampling parameters and their bounds: the same for requests, for the server and for the catalog's defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEMPERATURE = 5
MIN_REPEAT_PENALTY, MAX_REPEAT_PENALTY = 0.5, 2
"""Below 1 a penalty encourages repetition."""
MAX_PRESENCE = 2
"""OpenAI's bound, either way."""
_WHOLE = ("top_k", "seed")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; the defaults are edgechat's for every model without its own.

    Raises:
        InvalidInputError: a value is out of its range.
    """

    temperature: float = 0.7
    """0 decodes greedily."""
    top_k: int = 40
    """0 means all tokens."""
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    """Taken from the logit of every token that the answer has already; 0 switches it off."""
    seed: int | None = None
    """None draws one; the result says which."""

    def __post_init__(self) -> None:
        penalty = f"{MIN_REPEAT_PENALTY} to {MAX_REPEAT_PENALTY}"
        checks = (
            ("temperature", 0 <= self.temperature <= MAX_TEMPERATURE, f"0 to {MAX_TEMPERATURE}"),
            ("top_k", 0 <= self.top_k < 1 << 31, "0 or more, below 2147483648"),
            ("top_p", 0 < self.top_p <= 1, "above 0, up to 1"),
            ("min_p", 0 <= self.min_p < 1, "0 or more, below 1"),
            ("repeat_penalty", MIN_REPEAT_PENALTY <= self.repeat_penalty <= MAX_REPEAT_PENALTY, penalty),
            ("presence_penalty", -MAX_PRESENCE <= self.presence_penalty <= MAX_PRESENCE, "-2 to 2"),
            ("seed", self.seed is None or 0 <= self.seed < 1 << 32, "0 to 4294967295"),
        )
        for name, is_good, allowed in checks:
            if not is_good:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; it must be {allowed}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Sampling:
        """Parameters from a request, a manifest or the catalog.

        Raises:
            InvalidInputError: an unknown name, or a value that is not a number or out of its range.
        """
        for name, value in values.items():
            if name not in cls.__slots__:
                hint = f"Known: {', '.join(cls.__slots__)}."
                raise InvalidInputError(f"There is no sampling parameter {name!r}.", hint=hint)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or (isinstance(value, float) and not math.isfinite(value)):
                raise InvalidInputError(f"{name} is {value!r}; it must be a number.")
            if name in _WHOLE and value != int(value):  # type: ignore[call-overload]
                raise InvalidInputError(f"{name} is {value!r}; it must be a whole number.")
        whole = {name: int(values[name]) for name in _WHOLE if name in values}  # type: ignore[call-overload]
        return cls(**{**values, **whole})
