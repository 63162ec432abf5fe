r"""The text of a subtitle cue: its lines are one unit, unless each line has its own speaker.

A line break in a cue, also SubRip's ``\N``, is set anew by the length of the translation; ``\N`` is never lost.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.languages import scripts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
_BREAK = re.compile(r"(\r\n|\n|\r|\\N)")
_SPEAKER = re.compile(r"\s*[-‐–—－]\s*\S")
_PLACE = re.compile(r"\s+|[、。，！？…]+(?=[^、。，！？…」』）])")
_TAG = re.compile(r"<[^<>]*>|\{[^{}]*\}")
_EAST = re.compile(r"(?<=[぀-ヿ一-鿿])(?=[぀-ヿ一-鿿])")


def cue_pieces(
    lines: Sequence[str],
    place: str,
    *,
    read: Callable[[str], str] = str,
    write: Callable[[str], str] = str,
    head: re.Pattern[str] | None = None,
    tail: re.Pattern[str] | None = None,
) -> Iterator[Piece]:
    """The pieces of neighbouring lines of a cue.

    Args:
        lines: the lines with their ends; none is empty.
        place: the name of the cue.
        read: makes the text of a unit from the text in the file.
        write: the inverse, for one line.
        head: what stays before the text of a unit, such as the name of a voice; a line that begins so is a unit.
        tail: what stays after it.
    """
    has_heads = head is not None and sum(bool(head.match(line)) for line in lines) > 1
    has_dashes = sum(bool(_SPEAKER.match(line)) for line in lines) > 1
    groups = [list(lines)]
    if head is not None and has_heads:
        groups = _by_head(lines, head)
    elif has_dashes:
        groups = _by_head(lines, _SPEAKER)
    for group in groups:
        raw = "".join(group)
        body = raw.rstrip("\r\n")
        indent = body[: len(body) - len(body.lstrip())]
        start = indent
        if has_dashes and (dash := re.match(r"[-‐–—－]\s*", body.lstrip())):
            start += dash[0]
        if head is not None and (found := head.match(body, len(start))):
            start += found[0]
        core = body[len(start) :]
        end = ""
        if tail is not None and (found := tail.search(core)):
            core, end = core[: found.start()], found[0]
        if not any(sign.isalpha() for sign in _TAG.sub("", core).replace("\\N", "")):
            yield raw
            continue
        parts = _BREAK.split(core)
        text = _joined([part.strip() for part in parts[::2]])
        yield start
        yield TextUnit(read(text), core, partial(_written, write=write, breaks=tuple(parts[1::2])), place)
        yield end + raw[len(body) :]


def _by_head(lines: Sequence[str], head: re.Pattern[str]) -> list[list[str]]:
    groups: list[list[str]] = []
    for line in lines:
        if not groups or head.match(line):
            groups.append([])
        groups[-1].append(line)
    return groups


def _joined(parts: list[str]) -> str:
    parts = [part for part in parts if part]
    scripts = scripts_of("".join(parts))
    is_east = scripts.get("kana", 0) + scripts.get("han", 0) > scripts.get("latin", 0)
    return ("" if is_east else " ").join(parts)


def _written(text: str, *, write: Callable[[str], str], breaks: tuple[str, ...]) -> str:
    return wrapped(write(" ".join(text.split("\n"))), breaks)


def wrapped(text: str, breaks: Sequence[str]) -> str:
    r"""``text`` on lines of about equal length, divided by ``breaks``, of which only ``\N`` must all be used."""
    lines: list[str] = []
    for number, sign in enumerate(breaks):
        left = len(breaks) + 1 - number
        cut = _cut(text, left, is_needed=sign == "\\N")
        if cut is None:
            continue
        lines += [text[:cut].rstrip(), sign]
        text = text[cut:].lstrip()
    return "".join([*lines, text])


def _cut(text: str, left: int, *, is_needed: bool) -> int | None:
    middle = len(text) / left
    tags = [match.span() for match in _TAG.finditer(text)]

    def places(pattern: re.Pattern[str]) -> list[int]:
        ends = [match.end() for match in pattern.finditer(text)]
        return [end for end in ends if 0 < end < len(text) and not any(low < end < high for low, high in tags)]

    good = [place for place in places(_PLACE) if 0.4 * middle <= place <= 1.7 * middle]
    if not good and is_needed:
        good = places(_PLACE) or places(_EAST) or [len(text)]
    return min(good, key=lambda place: abs(place - middle)) if good else None
