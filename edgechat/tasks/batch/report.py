"""What became of every record or unit, with its place in the input: for messages, the exit code and ``--report``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgechat.files import write_json
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgechat.tasks.result import TaskResult

Outcome = Literal["done", "partly", "kept", "unchanged"]
"""``done``: as the task wants it. ``partly``: with a part of the input left as it is. ``kept``: the input stands there.
``unchanged``: nothing had to be changed."""

MAX_TOLD = 10
"""The first places that are told on the terminal."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record or unit."""

    line: int
    """The line of the input where it begins, from 1."""
    id: str | int
    """What the format calls this place, or the record's id."""
    outcome: Outcome
    status: str
    flags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why it is not ``done``."""
    source: str | None = None
    """The text of a unit."""
    target: str | None = None
    """The text that was written in its place."""
    segments: tuple[Mapping[str, Any], ...] = ()
    """The sentences that have a flag."""

    @property
    def place(self) -> str:
        """The place in words: ``line 12``, with the format's name for it where there is one."""
        return f"line {self.line}" if self.id in {"", self.line} else f"line {self.line} ({self.id})"

    @property
    def is_incomplete(self) -> bool:
        """Whether the input, or a part of it, stands where the result should be."""
        return self.outcome in {"partly", "kept"}


@dataclass(slots=True)
class RunReport:
    """The entries of a run; only counts and the first incomplete ones when ``is_kept`` is false."""

    is_kept: bool
    """Keep every entry for :meth:`write`."""
    entries: list[Entry] = field(default_factory=list)
    flags: dict[str, int] = field(default_factory=dict)
    """How often each flag was raised."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many entries have each outcome."""
    told: list[str] = field(default_factory=list)
    """The first :data:`MAX_TOLD` incomplete entries, as lines for the terminal."""

    @property
    def incomplete(self) -> int:
        """How many entries are incomplete."""
        return self.counts.get("partly", 0) + self.counts.get("kept", 0)

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        self.counts[entry.outcome] = self.counts.get(entry.outcome, 0) + 1
        for flag in entry.flags:
            self.flags[flag] = self.flags.get(flag, 0) + 1
        if entry.is_incomplete and len(self.told) < MAX_TOLD:
            verb = "not done" if entry.outcome == "kept" else "only in part"
            reasons = "; ".join(entry.reasons) or ", ".join(entry.flags) or entry.status
            self.told.append(clean_line(f"{entry.place[:1].upper()}{entry.place[1:]}: {verb}: {reasons}"))
        if self.is_kept:
            self.entries.append(entry)

    def write(self, path: Path, **facts: Any) -> None:  # noqa: ANN401 - names of files and settings
        """Write all entries as one JSON object.

        Raises:
            OSError: the file cannot be written.
        """
        body = {**facts, "counts": self.counts, "flags": self.flags, "units": [asdict(each) for each in self.entries]}
        write_json(path, body)


def record_entry(line: int, done: TaskResult, incomplete_flags: frozenset[str]) -> Entry:
    """The entry of a record of a file."""
    flags = _flags(done)
    is_part = done.status == "ok" and not incomplete_flags.isdisjoint(flags)
    outcome: Outcome = "kept" if done.status != "ok" else "partly" if is_part else "done"
    return Entry(line, done.id, outcome, done.status, flags, tuple(done.error_lines), segments=_flagged(done))


def unit_entry(
    line: int,
    place: str,
    done: TaskResult,
    incomplete_flags: frozenset[str],
    *,
    source: str,
    target: str | None,
    why: str,
) -> Entry:
    """The entry of a unit of a document.

    Args:
        line: where it begins.
        place: what the format calls the place.
        done: the result of its record.
        incomplete_flags: the flags that say that a part was left as it is.
        source: its text.
        target: its new text; None when the unit stays as it is.
        why: why the new text was not taken although the record is ok; empty otherwise.
    """
    flags = _flags(done)
    is_part = not incomplete_flags.isdisjoint(flags)
    outcome: Outcome = "partly" if is_part else "unchanged" if target == source else "done"
    if target is None:
        outcome = "kept"
    reasons = (why,) if why else tuple(done.error_lines) if done.status != "ok" else ()
    return Entry(line, place, outcome, done.status, flags, reasons, source, target or source, _flagged(done))


def _flags(done: TaskResult) -> tuple[str, ...]:
    """The names of a result's flags; some tasks say more about a flag than its kind."""
    flags = (done.result or {}).get("flags", ())
    return tuple(str(flag["kind"] if isinstance(flag, dict) and "kind" in flag else flag) for flag in flags)


def _flagged(done: TaskResult) -> tuple[Mapping[str, Any], ...]:
    segments = (done.result or {}).get("segments", ())
    return tuple(each for each in segments if isinstance(each, dict) and each.get("flags"))
