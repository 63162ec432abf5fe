"""Full-text search that finds words of two characters, and shows where they stand.

SQLite's own tokenizers know words between blanks, or three characters and more; 東京 is neither. So Japanese, Chinese,
Korean and South-East Asian text is indexed as overlapping pairs of characters, found again as a phrase; all other
words are found by their beginning. What a person types is data: no operator of FTS5's query language gets through.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that put no blanks between words, or whose particles hide where a word ends (Hangul)."""

_RUN = re.compile(f"[{_UNSPACED}]+")
_PIECE = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}\\s]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_VOICED = "\uff9e\uff9f"
"""Half-width katakana writes its voicing mark behind the letter; together they are one character."""

_SNIPPET_BEFORE, _SNIPPET_LENGTH = 24, 120
_MOST_PIECES = 32
"""A pasted page is no query; its first words are."""


def fold(text: str) -> str:
    """``text`` as it is compared: compatibility forms unified, accents off, case folded."""
    if text.isascii():
        return text.lower()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", bare).casefold()


def terms(text: str) -> str:
    """What the index holds for ``text``: words, and pairs of characters in place of unspaced runs.

    The last character of a run stands alone too, so that every character begins some term and a query of one
    character finds it.
    """
    return _RUN.sub(lambda run: f" {' '.join(_pairs(run[0]))} {run[0][-1]} ", fold(text))


def query(text: str) -> str:
    """The FTS5 query for what a person typed: every piece must occur; ``""`` when nothing can be looked for."""
    found = []
    for piece in pieces(text):
        if _RUN.match(piece) is None or len(piece) == 1:
            found.append(f"{_quoted(piece)} *")
        else:
            found.append(_quoted(" ".join(_pairs(piece))))
    return " AND ".join(found)


def pieces(text: str) -> list[str]:
    """The folded words and unspaced runs of a query, each once."""
    words = [word for word in _PIECE.findall(fold(text)) if any(each.isalnum() for each in word)]
    return list(dict.fromkeys(words))[:_MOST_PIECES]


def index(connection: sqlite3.Connection, row: int, text: str) -> None:
    """Make ``text`` the one that is found under ``row``."""
    connection.execute("DELETE FROM words WHERE rowid = ?", (row,))
    connection.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (row, terms(text)))


def snippet(text: str, wanted: list[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The line of ``text`` that holds most of ``wanted`` (see :func:`pieces`), cut to fit, and where they stand."""
    patterns = [_pattern(piece) for piece in wanted]
    best, folded, most = "", "", 0
    for line in unicodedata.normalize("NFC", text).splitlines():
        candidate = fold(line)
        count = sum(pattern.search(candidate) is not None for pattern in patterns)
        if count > most:
            best, folded, most = line, candidate, count
        if most == len(patterns):
            break
    if not most:
        best = text[: 4 * _SNIPPET_LENGTH]
    first = min((found.start() for pattern in patterns if (found := pattern.search(folded))), default=0)
    # Only what can be shown is cleaned and traced: a line may be a whole page.
    begin = max(0, _origin(best, folded, first) - 2 * _SNIPPET_BEFORE)
    line = clean_line(best[begin : begin + 4 * _SNIPPET_LENGTH])
    spans = _merged(_spans(line, patterns)) if most else []
    start = max(0, spans[0][0] - _SNIPPET_BEFORE) if spans else 0
    end = start + _SNIPPET_LENGTH
    head = "…" if begin + start else ""
    tail = "…" if end < len(line) or begin + 4 * _SNIPPET_LENGTH < len(best) else ""
    shift = len(head) - start
    inside = tuple((a + shift, min(b, end) + shift) for a, b in spans if a < end)
    return f"{head}{line[start:end]}{tail}", inside


def _origin(line: str, folded: str, at: int) -> int:
    """About where in ``line`` the character ``at`` of its folded form comes from."""
    if len(line) == len(folded):
        return at
    low, high = 0, len(line)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(fold(line[:middle])) < at else (low, middle)
    return low


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]


def _quoted(words: str) -> str:
    return '"' + words.replace('"', '""').replace("\0", " ") + '"'


def _pattern(piece: str) -> re.Pattern[str]:
    """What a piece of a query looks like in folded text."""
    if _RUN.match(piece):
        return re.compile(re.escape(piece))
    words = [word for word in re.split(r"[\W_]+", piece) if word]
    return re.compile(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words))) if words else re.compile(r"(?!)")


def _spans(line: str, patterns: list[re.Pattern[str]]) -> Iterator[tuple[int, int]]:
    """Where the patterns stand in the unfolded line."""
    folded, origins = _traced(line)
    for pattern in patterns:
        for match in pattern.finditer(folded):
            if match.end() > match.start():
                yield origins[match.start()][0], origins[match.end() - 1][1]


def _traced(line: str) -> tuple[str, list[tuple[int, int]]]:
    """The folded line, and for each of its characters the stretch of the line that it came from."""
    folded: list[str] = []
    origins: list[tuple[int, int]] = []
    at = 0
    while at < len(line):
        end = at + 1
        while end < len(line) and (unicodedata.combining(line[end]) or line[end] in _VOICED):
            end += 1
        part = fold(line[at:end])
        folded.append(part)
        origins += [(at, end)] * len(part)
        at = end
    return "".join(folded), origins


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
