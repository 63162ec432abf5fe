"""Results as data, Markdown and JSON, and the place in ``docs/benchmarks.md`` where the last ones stand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scripts.benchmarks.rounds import Series

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of ratios: ours over theirs, in one unit."""

    subject: str
    """The model, and what distinguishes this line from the others."""
    measure: str
    unit: str
    ours: Series
    peer: str
    theirs: Series
    bar: float | None = None
    """What the ratio must reach (speeds) or stay below (times); None where nothing was promised."""
    smaller_is_better: bool = False

    @property
    def ratio(self) -> float:
        """Median over median."""
        return self.ours.median / self.theirs.median

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is met, or None without a bar."""
        if self.bar is None:
            return None
        return self.ratio <= self.bar if self.smaller_is_better else self.ratio >= self.bar

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with every single figure."""
        return {
            "subject": self.subject,
            "measure": self.measure,
            "unit": self.unit,
            "ours": list(self.ours.values),
            "peer": self.peer,
            "theirs": list(self.theirs.values),
            "ratio_of_medians": self.ratio,
            "median_of_paired_ratios": self.ours.paired_ratio(self.theirs),
            "bar": self.bar,
            "smaller_is_better": self.smaller_is_better,
            "is_met": self.is_met,
        }


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report: comparisons, or a table of its own, or both."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...] = ()
    table: str = ""
    """Markdown."""
    notes: tuple[str, ...] = ()
    data: list[dict[str, Any]] = field(default_factory=list)
    """What the table was made from, for the JSON."""

    def markdown(self) -> str:
        """The section as Markdown."""
        parts = [f"### {self.title}"]
        if self.comparisons:
            head = ("model", "measure", "edgechat", "peer", "its figure", "ratio", "paired", "bar")
            parts.append(table(head, tuple(_line(each) for each in self.comparisons)))
        if self.table:
            parts.append(self.table)
        parts += self.notes
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "name": self.name,
            "title": self.title,
            "comparisons": [each.to_dict() for each in self.comparisons],
            "data": self.data,
            "notes": list(self.notes),
        }


def markdown(machine: dict[str, Any], sections: list[Section]) -> str:
    """The whole report."""
    lines = [f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items()]
    return "\n\n".join(["\n".join(lines), *(section.markdown() for section in sections)]) + "\n"


def write_json(path: Path, machine: dict[str, Any], sections: list[Section]) -> None:
    """Everything that was measured, figure by figure."""
    whole = {"machine": machine, "sections": [section.to_dict() for section in sections]}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def write_docs(path: Path, text: str) -> None:
    """Put ``text`` between the markers of ``path``.

    Raises:
        SystemExit: the file does not hold both markers once, in order.
    """
    page = path.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise SystemExit(f"{path} must hold {BEGIN} and, after it, {END}, once each.")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def _line(each: Comparison) -> tuple[str, ...]:
    relation = "≤" if each.smaller_is_better else "≥"
    verdict = {None: "", True: " met", False: " **missed**"}[each.is_met]
    return (
        each.subject,
        f"{each.measure}, {each.unit}",
        figure(each.ours),
        each.peer,
        figure(each.theirs),
        f"{each.ratio:.3f}",
        f"{each.ours.paired_ratio(each.theirs):.3f}",
        "" if each.bar is None else f"{relation} {each.bar:g}{verdict}",
    )


def figure(series: Series) -> str:
    """A series as the tables show it: its median, and its range."""
    return f"{series.median:.4g} ({series.low:.4g} to {series.high:.4g})"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
