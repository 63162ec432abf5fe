"""The first records of a file of results, as rows of a table."""

from __future__ import annotations

import csv
import itertools
import json
from typing import TYPE_CHECKING, Any

from edgechat.errors import StateError
from edgechat.tui.session.result_rows import flattened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_ROWS = 200
MAX_COLUMNS = 8
_ORDER = ("id", "status")
"""Columns that come first."""


def result_preview(path: Path) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the first rows, of a .jsonl, .json or .csv file; no rows for another kind of file.

    Raises:
        StateError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                table = list(itertools.islice(csv.reader(file), MAX_ROWS + 1))
                return (table[0][:MAX_COLUMNS], [row[:MAX_COLUMNS] for row in table[1:]]) if table else ([], [])
            if path.suffix == ".jsonl":
                return _table(json.loads(line) for line in itertools.islice(file, MAX_ROWS) if line.strip())
            if path.suffix == ".json":
                found = json.load(file)
                return _table(iter((found if isinstance(found, list) else [found])[:MAX_ROWS]))
    except OSError as error:
        raise StateError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise StateError(f"Cannot show {path}: {error}.", hint="The file is complete; open it elsewhere.") from error
    return [], []


def _table(records: Iterator[object]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for record in records:
        facts: dict[str, Any] = record if isinstance(record, dict) else {"record": record}
        cells = {name: str(facts[name]) for name in _ORDER if name in facts}
        result = facts.get("result")
        if result is not None:
            cells |= dict(flattened(result))
        elif errors := facts.get("errors"):
            cells["error"] = "; ".join(str(each.get("message", each)) for each in errors)
        rows.append(cells)
    names = list(dict.fromkeys(name for cells in rows for name in cells))[:MAX_COLUMNS]
    if "error" in {name for cells in rows for name in cells} and "error" not in names:
        names[-1] = "error"
    return names, [[cells.get(name, "") for name in names] for cells in rows]
