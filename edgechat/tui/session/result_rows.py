"""A result as rows of a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.result import TaskResult


def result_rows(done: TaskResult) -> list[tuple[str, str]]:
    """A result as table rows: path and value, one row for each value in nested lists and objects."""
    return flattened(done.result if done.result is not None else {})


def flattened(value: object) -> list[tuple[str, str]]:
    """Path and text of each value in nested lists and objects."""
    found: list[tuple[str, str]] = []
    _flatten("", value, found)
    return found


def _flatten(place: str, value: object, found: list[tuple[str, str]]) -> None:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            _flatten(f"{place}.{name}" if place else str(name), part, found)
    elif isinstance(value, list) and value:
        if all(not isinstance(part, (dict, list)) for part in value):
            found.append((place, ", ".join(map(str, value))))
            return
        for number, part in enumerate(value, 1):
            _flatten(f"{place}.{number}", part, found)
    elif isinstance(value, float):
        found.append((place, f"{value:.4g}"))
    elif value is None or isinstance(value, bool):
        found.append((place, json.dumps(value)))
    else:
        found.append((place, "none" if value in ([], {}) else str(value)))
