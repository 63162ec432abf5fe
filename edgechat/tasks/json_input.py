"""Parses JSON that a person or a program hands in. A key that stands twice in one object is an error.

Python's parser takes the last of two equal keys without a word, so half of a record would be lost.
"""

from __future__ import annotations

import json
from typing import Any


class DuplicateKeyError(ValueError):
    """One object of a JSON text has the same key twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f"one object has the key {key!r} twice")


def parse_json(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of a JSON text.

    Raises:
        json.JSONDecodeError: the text is not JSON.
        DuplicateKeyError: an object has the same key twice.
        ValueError: a number has more digits than Python reads.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(key)
        found[key] = value
    return found
