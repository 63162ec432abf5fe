"""Tables that fit the terminal: on a narrow one, columns move below the row, are shortened, then left out.

Output that does not go to a terminal is complete.
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import columns as terminal_columns
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_GAP = "  "
_INDENT = "    "
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and what happens to it when the terminal is narrow."""

    head: str
    rank: int = 0
    """0 is never shortened; of the others, the highest is shortened and left out first."""
    least: int = 0
    """Shortest width before it is left out; 0 if it must not be shortened."""
    is_right: bool = False
    """Align to the right, for numbers."""
    may_go_below: bool = False
    """If the row is too wide, move the cell to lines of its own, broken after commas."""


def print_table(head: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with a bold head to standard output.

    Leading blanks of cells are kept, and control characters removed.
    """
    cleaned = [tuple(_clean(cell) for cell in row) for row in rows]
    for number, lines in enumerate(table(head, cleaned, terminal_columns(sys.stdout))):
        for line in lines:
            click.echo(line if number else click.style(line, bold=True))


def table(head: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[list[str]]:
    """Yield the lines of the head, then those of each row; a ``width`` of None means unlimited."""
    heads = [column.head for column in head]
    widths = [max(cells(row[at]) for row in [heads, *rows]) for at in range(len(head))]
    shown = list(range(len(head)))
    below: list[int] = []
    if width is not None and _total(widths, shown) > width:
        below = [at for at in shown if head[at].may_go_below]
        shown = [at for at in shown if at not in below]
        _shorten_columns(head, widths, shown, width)
        _drop_columns(head, widths, shown, width)
    for row in [heads, *rows]:
        lines = [_GAP.join(_padded(row[at], widths[at], is_right=head[at].is_right) for at in shown).rstrip()]
        for at in below:
            lines += _broken(row[at], width or 0)
        yield lines


def _shorten_columns(head: Sequence[Column], widths: list[int], shown: list[int], width: int) -> None:
    for at in sorted(shown, key=lambda each: -head[each].rank):
        excess = _total(widths, shown) - width
        if excess > 0 and head[at].rank and head[at].least:
            widths[at] = min(widths[at], max(widths[at] - excess, head[at].least))


def _drop_columns(head: Sequence[Column], widths: list[int], shown: list[int], width: int) -> None:
    for at in sorted(shown, key=lambda each: -head[each].rank):
        if head[at].rank and _total(widths, shown) > width:
            shown.remove(at)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + len(_GAP) * (len(shown) - 1)


def _padded(text: str, width: int, *, is_right: bool) -> str:
    short = shortened(text, width)
    blanks = " " * (width - cells(short))
    return blanks + short if is_right else short + blanks


def shortened(text: str, width: int) -> str:
    """Cut ``text`` to ``width`` cells, between words if possible. A remark in brackets at its end is kept."""
    if cells(text) <= width:
        return text
    remark = ""
    if text.endswith(")") and " (" in text:
        text, _, rest = text.rpartition(" (")
        remark = f" ({rest}"
    room = width - cells(remark) - 1
    kept = text
    while kept and cells(kept) > room:
        kept = kept[:-1]
    if len(kept) < len(text) and text[len(kept)] != " " and " " in kept.strip():
        kept = kept.rpartition(" ")[0]
    return kept.rstrip() + _CUT + remark


def _broken(text: str, width: int) -> list[str]:
    """Wrap a list after its commas."""
    lines = [_INDENT]
    for item in text.strip().split(", "):
        start = lines[-1] + ("" if lines[-1] == _INDENT else ", ")
        if cells(start + item) < width or lines[-1] == _INDENT:  # there may be a comma after it
            lines[-1] = start + item
        else:
            lines[-1] += ","
            lines.append(_INDENT + item)
    return lines


def cells(text: str) -> int:
    """The width of a text on a terminal: a Chinese or Japanese character takes two cells (Unicode annex 11)."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def _clean(cell: str) -> str:
    stripped = cell.lstrip(" ")
    return " " * (len(cell) - len(stripped)) + clean_line(stripped)
