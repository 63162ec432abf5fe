"""Glossary terms with a fixed translation: read from a file, found in a segment, checked in its translation."""

from __future__ import annotations

import csv
import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.delimiter import COMMA, declared_delimiter
from edgechat.tasks.translate.record import Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LATIN = re.compile(r"[A-Za-z0-9À-ɏ]")


def read_glossary(text: str, name: str) -> list[Term]:
    """The terms of a file with the columns source and target; a header line and ``#`` comments are skipped.

    The separator is a tab, a semicolon or a comma: the first of them that divides every line.

    Raises:
        InvalidInputError: a line does not have two columns, or a term has two different translations.
    """
    lines = [line for line in text.removeprefix("\ufeff").splitlines() if line.strip() and not line.startswith("#")]
    declared = declared_delimiter(lines[0]) if lines else None
    lines = lines[1:] if declared else lines
    rows = list(csv.reader(lines, delimiter=declared or _delimiter(lines)))
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


def _delimiter(lines: Sequence[str]) -> str:
    # A term may contain a comma, and seldom a semicolon or a tab.
    for sign in ("\t", ";", COMMA):
        if lines and all(len(row) > 1 for row in csv.reader(lines, delimiter=sign)):
            return sign
    return "\t" if any("\t" in line for line in lines) else COMMA


def occurring(terms: Iterable[Term], text: str) -> list[Term]:
    """The terms that occur in ``text``, longest first; a term inside a longer occurring term is left out."""
    rest = _plain(text)
    found = []
    for term in sorted(terms, key=lambda each: -len(each.source)):
        pattern = _pattern(term.source)
        if pattern.search(rest):
            found.append(term)
            rest = pattern.sub("\n", rest)
    return found


def missing(terms: Sequence[Term], translation: str) -> list[Term]:
    """The terms whose target does not occur in ``translation``, ignoring case."""
    plain = _plain(translation)
    return [term for term in terms if _plain(term.target) not in plain]


def _pattern(term: str) -> re.Pattern[str]:
    plain = _plain(term)
    # Latin terms must match whole words, with a plural ending; Japanese and Chinese have no word boundaries.
    before = r"(?<![a-z0-9])" if _LATIN.match(plain[0]) else ""
    after = r"(?:e?s)?(?![a-z0-9])" if _LATIN.match(plain[-1]) else ""
    return re.compile(before + re.escape(plain) + after)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
