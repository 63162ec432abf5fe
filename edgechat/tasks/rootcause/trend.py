"""Recurrences: how many of the last 50 reports are about the same defect, at the same station, of the same lot.

The window holds earlier reports in the order in which they were made: those of a file of results, then those of the
same run, in the order of its input. So the counts of a run do not depend on speed, parallel records or a resumption.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.result import Recurrence
from edgechat.tasks.rootcause.texts import TREND, TREND_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

WINDOW = 50
"""Number of earlier reports that are compared."""
MAX_IDS = 10
"""Number of ids that a recurrence lists, newest first; its count is of all."""

_GROUPS: tuple[tuple[str, ...], ...] = (
    ("defect_type",), ("defect_type", "station"), ("defect_type", "lot"), ("station", "lot"),
)  # fmt: skip
_JOINT: dict[Language, str] = {"en": " and ", "ja": "・", "zh": "、"}


@dataclass(frozen=True, slots=True)
class KeptReport:
    """What the trend keeps of a report."""

    id: str
    values: Mapping[str, str | None]


class Trend:
    """The last reports, oldest first."""

    def __init__(self, earlier: Iterable[Mapping[str, Any]] = ()) -> None:
        self._kept: deque[KeptReport] = deque(maxlen=WINDOW)
        for done in earlier:
            self._keep(done.get("id"), done.get("result"))

    def add(self, done: TaskResult) -> TaskResult:
        """``done`` with its recurrences; it then counts as an earlier report."""
        result = done.result
        if result is None or "recurrences" not in result:
            return done
        values = _values(result)
        found = [one.model_dump(mode="json") for one in self._recurrences(values)]
        self._keep(done.id, result)
        return replace(done, result={**result, "recurrences": found})

    def _recurrences(self, values: Mapping[str, str | None]) -> list[Recurrence]:
        found: list[Recurrence] = []
        for group in _GROUPS:
            if any(values[name] is None for name in group):
                continue
            ids = [kept.id for kept in reversed(self._kept) if all(kept.values[name] == values[name] for name in group)]
            if ids:
                found.append(Recurrence(same=list(group), count=len(ids), ids=ids[:MAX_IDS]))  # type: ignore[arg-type]
        return found

    def _keep(self, record_id: object, result: object) -> None:
        if isinstance(result, dict) and isinstance(result.get("defect_type"), str):
            self._kept.append(KeptReport(clean_line(str(record_id)), _values(result)))


def trend_sentence(recurrence: Recurrence, language: Language) -> str:
    """A recurrence in words."""
    same = _JOINT[language].join(TREND_FIELDS[name][language] for name in recurrence.same)
    ids = ", ".join(recurrence.ids) + (" …" if recurrence.count > len(recurrence.ids) else "")
    return TREND[language].format(count=recurrence.count, window=WINDOW, same=same, ids=ids)


def _values(result: Mapping[str, Any]) -> dict[str, str | None]:
    """The compared fields, so spelled that case and spaces make no difference."""
    found = {}
    for name in ("defect_type", "station", "lot"):
        value = result.get(name)
        found[name] = clean_line(value).casefold() if isinstance(value, str) and value.strip() else None
    return found
