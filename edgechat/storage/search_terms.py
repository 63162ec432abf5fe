"""Terms and snippets of full-text search, for any script.

SQLite's tokenizers split at spaces, or index three characters and more; 東京 is neither. So Japanese, Chinese, Korean
and South-East Asian text is indexed as overlapping pairs of characters and found as a phrase; all other words are found
by their beginning. Operators of FTS5's query language in a user's text are quoted, never run.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without spaces between words, or whose particles hide the end of a word (Hangul)."""

UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
"""A run of such characters."""
_PIECE = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}\\s]+")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_VOICED = "\uff9e\uff9f"
"""Voicing marks of half-width katakana: separate characters that belong to the letter before them."""

_SNIPPET_BEFORE, _SNIPPET_LENGTH = 24, 120
_MAX_PIECES = 32
"""Words of a query that are used: a pasted page is cut to its first words."""


def fold(text: str) -> str:
    """Normalize ``text`` for comparison: unify compatibility forms, remove accents, fold case."""
    if text.isascii():
        return text.lower()
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", bare).casefold()


def terms(text: str) -> str:
    """The terms to index for ``text``: words, and pairs of characters for runs without spaces.

    The last character of a run is a term too: so every character starts a term, and a query of one character finds it.
    """
    return UNSPACED_RUN.sub(lambda run: f" {' '.join(pairs(run[0]))} {run[0][-1]} ", fold(text))


def query(text: str) -> str:
    """The FTS5 query for a user's text: every piece must occur; ``""`` when the text has no piece."""
    found = []
    for piece in pieces(text):
        if UNSPACED_RUN.match(piece) is None or len(piece) == 1:
            found.append(f"{quoted(piece)} *")
        else:
            found.append(quoted(" ".join(pairs(piece))))
    return " AND ".join(found)


def pieces(text: str) -> list[str]:
    """The folded words and runs of a query, without duplicates."""
    words = [word for word in _PIECE.findall(fold(text)) if any(each.isalnum() for each in word)]
    return list(dict.fromkeys(words))[:_MAX_PIECES]


def snippet(text: str, wanted: list[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The line of ``text`` with most of ``wanted`` (see :func:`pieces`), shortened, and the matches in it."""
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
    # Only the part that is shown is cleaned and searched: a line may be a whole page.
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


def count_matches(text: str, wanted: list[str]) -> int:
    """How many of ``wanted`` (see :func:`pieces`) occur in ``text``."""
    folded = fold(text)
    return sum(_pattern(piece).search(folded) is not None for piece in wanted)


def _origin(line: str, folded: str, at: int) -> int:
    """Roughly the place in ``line`` of the character ``at`` of its folded form."""
    if len(line) == len(folded):
        return at
    low, high = 0, len(line)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if len(fold(line[:middle])) < at else (low, middle)
    return low


def pairs(run: str) -> list[str]:
    """The overlapping pairs of characters of a run without spaces."""
    return [run[at : at + 2] for at in range(len(run) - 1)]


def quoted(words: str) -> str:
    """A phrase in FTS5's query language."""
    return '"' + words.replace('"', '""').replace("\0", " ") + '"'


def _pattern(piece: str) -> re.Pattern[str]:
    """The pattern that finds a piece of a query in folded text."""
    if UNSPACED_RUN.match(piece):
        return re.compile(re.escape(piece))
    words = [word for word in re.split(r"[\W_]+", piece) if word]
    return re.compile(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words))) if words else re.compile(r"(?!)")


def _spans(line: str, patterns: list[re.Pattern[str]]) -> Iterator[tuple[int, int]]:
    """Start and end of each match in the line before folding."""
    folded, origins = _fold_with_origins(line)
    for pattern in patterns:
        for match in pattern.finditer(folded):
            if match.end() > match.start():
                yield origins[match.start()][0], origins[match.end() - 1][1]


def _fold_with_origins(line: str) -> tuple[str, list[tuple[int, int]]]:
    """The folded line, and for each of its characters the start and end of its source in the line."""
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
