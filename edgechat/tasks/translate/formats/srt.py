"""SubRip subtitles: numbers and timing stay; the lines of a cue are one unit, unless each line has its own speaker."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.languages import scripts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMING = re.compile(
    r"[ \t]*\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}[ \t]*-->[ \t]*\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}[^\r\n]*(?:\r\n|\n|\r|\Z)"
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
_SPEAKER = re.compile(r"\s*[-‐–—－]\s*\S")


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of an SRT file.

    Raises:
        InvalidInputError: no line is the timing of a cue.
    """
    lines = _LINE.findall(text)
    if lines and not any(_TIMING.match(line) for line in lines):
        raise InvalidInputError("This is not an SRT file: no line is like 00:00:01,000 --> 00:00:02,000.")
    at = 0
    while at < len(lines):
        yield lines[at]
        at += 1
        if not _TIMING.match(lines[at - 1]):
            continue
        cue = []
        while at < len(lines) and lines[at].strip():
            cue.append(lines[at])
            at += 1
        yield from _cue(cue)


def _cue(lines: list[str]) -> Iterator[Piece]:
    if len(lines) > 1 and sum(bool(_SPEAKER.match(line)) for line in lines) > 1:
        groups = [[line] for line in lines]
    else:
        groups = [lines] if lines else []
    for group in groups:
        raw = "".join(group)
        body = raw.rstrip("\r\n")
        indent = body[: len(body) - len(body.lstrip())]
        dash = re.match(r"[-‐–—－]\s*", body.lstrip()) if len(groups) > 1 else None
        head = indent + (dash[0] if dash else "")
        body = body[len(head) :]
        if not body.strip():
            yield raw
            continue
        parts = [part.strip() for part in re.split(r"\r\n|\n|\r", body)]
        end = re.search(r"\r\n|\n|\r", raw)
        yield head
        yield TextUnit(_joined(parts), body, partial(_wrapped, count=len(parts), end=end[0] if end else "\n"))
        yield raw[len(head) + len(body) :]


def _joined(parts: list[str]) -> str:
    scripts = scripts_of("".join(parts))
    is_east = scripts.get("kana", 0) + scripts.get("han", 0) > scripts.get("latin", 0)
    return ("" if is_east else " ").join(parts)


def _wrapped(text: str, *, count: int, end: str) -> str:
    """``text`` on at most ``count`` lines of about equal length, broken at spaces or punctuation."""
    lines: list[str] = []
    for left in range(count, 1, -1):
        middle = len(text) / left
        places = [match.end() for match in re.finditer(r"\s+|[、。，！？…]+(?=[^、。，！？…」』）])", text)]
        places = [place for place in places if 0.4 * middle <= place <= 1.7 * middle and place < len(text)]
        if not places:
            continue
        cut = min(places, key=lambda place: abs(place - middle))
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return end.join([*lines, text])
