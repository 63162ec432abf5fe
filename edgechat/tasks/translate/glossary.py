"""Terms that have one right translation: read from a table, found in a segment, looked for in its translation."""

from __future__ import annotations

import csv
import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.translate.record import Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LATIN = re.compile(r"[A-Za-z0-9À-ɏ]")


def read_glossary(text: str, name: str) -> list[Term]:
    """The terms of a CSV or TSV file: source, target. A first line that says so is a header; ``#`` begins a comment.

    Raises:
        InvalidInputError: a line has not two columns, or gives a term twice with different translations.
    """
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip() and not line.startswith("#")]
    rows = list(csv.reader(lines, delimiter="\t" if any("\t" in line for line in lines) else ","))
    if rows and [cell.strip().lower() for cell in rows[0][:2]] == ["source", "target"]:
        rows = rows[1:]
    found: dict[str, str] = {}
    for row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise InvalidInputError(
                f"{name}: {','.join(row)!r} has no two columns.", hint="Each line is: source term, target term."
            )
        if found.setdefault(cells[0], cells[1]) != cells[1]:
            raise InvalidInputError(f"{name} translates {cells[0]!r} as {found[cells[0]]!r} and as {cells[1]!r}.")
    return [Term(source=source, target=target) for source, target in found.items()]


def occurring(terms: Iterable[Term], text: str) -> list[Term]:
    """The terms that stand in ``text``, longest first; one inside a longer one that also occurs is left out."""
    rest = _plain(text)
    found = []
    for term in sorted(terms, key=lambda each: -len(each.source)):
        pattern = _pattern(term.source)
        if pattern.search(rest):
            found.append(term)
            rest = pattern.sub("\n", rest)
    return found


def missing(terms: Sequence[Term], translation: str) -> list[Term]:
    """The terms whose translation does not stand in ``translation``; case does not count."""
    plain = _plain(translation)
    return [term for term in terms if _plain(term.target) not in plain]


def _pattern(term: str) -> re.Pattern[str]:
    plain = _plain(term)
    # Alphabets have word ends (and a plural); Japanese and Chinese have none to look for.
    before = r"(?<![a-z0-9])" if _LATIN.match(plain[0]) else ""
    after = r"(?:e?s)?(?![a-z0-9])" if _LATIN.match(plain[-1]) else ""
    return re.compile(before + re.escape(plain) + after)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
