"""Plain text: the encoding of a text file, paragraphs, and lines that look like headings or steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.documents.block import Block, ReadDocument
from edgechat.documents.limits import MAX_HEADING, UnreadableDocumentError
from edgechat.encoding_detection import SAMPLE, detect_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STEP = re.compile(
    r"\s*(?:[(（]?\d{1,3}[.)）:、]|[(（][a-zA-Z][)）]|[•‣◦▪■●○・※*+–-]|手順\s*\d+|Step\s+\d+)\s*\S", re.IGNORECASE
)
"""The beginning of a numbered or marked item."""
_NUMBERED_HEADING = re.compile(
    r"(?:第\s*\d+\s*[章節部編]|(?:Chapter|Appendix|Part|Section)\s+\w+|\d+(?:\.\d+)*\.?)\s+\S.*", re.IGNORECASE
)
_UNDERLINE = re.compile(r"\s*([=\-~^*#\"'`+.:_])\1{2,}\s*")
_LEADERS = re.compile(r"(?:\.\s?){4,}\s*[\divxlc]+\s*$|[…‥・]{3,}\s*\d+\s*$", re.IGNORECASE)
"""A line of a table of contents: it would be found for every question and answers none."""


def decoded(data: bytes, name: str, notes: list[str] | None = None) -> str:
    """The text of a file, in whatever encoding; ``notes`` receives what could not be decoded.

    Raises:
        UnreadableDocumentError: it is no text, or nothing tells its encoding.
    """
    encoding = detect_encoding(data) or detect_encoding(data[:SAMPLE])
    if encoding is not None:
        try:
            text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
        except UnicodeDecodeError:
            # The sample that decided was text, and a byte further on is not: keep the rest, and show the place.
            text = data.decode(encoding, "replace")
        if notes is not None and (lost := text.count("\ufffd")):
            notes.append(f"{name}, read as {encoding}: {lost} characters could not be read.")
        if text.count("\0") + text.count("\ufffd") <= len(text) // 100:
            return text.replace("\0", " ").replace("\r\n", "\n").replace("\r", "\n")
    raise UnreadableDocumentError(
        f"{name} is no text in an encoding that can be recognised.", hint="Save it as UTF-8 and add it again."
    )


def read(_file: Path, data: bytes, name: str) -> ReadDocument:
    """Read a text file."""
    notes: list[str] = []
    return ReadDocument(_blocks(decoded(data, name, notes)), notes=notes)


def is_contents_line(line: str) -> bool:
    """Whether a line belongs to a table of contents: a title, dots, a page number."""
    return _LEADERS.search(line) is not None


def _blocks(text: str) -> Iterator[Block]:
    """A heading is a short line that is underlined, or numbered and alone between blank lines."""
    lines = [line.rstrip() for line in text.split("\n")]
    held: list[str] = []
    page = 1 if "\f" in text else None
    for number, line in enumerate(lines):
        if page is not None and "\f" in line:
            page += line.count("\f")
            line = line.replace("\f", "")  # noqa: PLW2901
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if held and held[-1] and _UNDERLINE.fullmatch(line) and _is_underlined(held[-1], line, held[:-1]):
            title = held.pop()
            yield from _paragraph(held, page)
            held = []
            yield Block(title.strip()[:MAX_HEADING], "heading", 1 if line.strip()[0] in "=#" else 2, page)
        elif not line.strip():
            yield from _paragraph(held, page)
            held = []
        elif not held and not below.strip() and len(line) <= 100 and _NUMBERED_HEADING.fullmatch(line.strip()):
            yield Block(line.strip()[:MAX_HEADING], "heading", heading_level(line.strip()), page)
        elif is_contents_line(line):
            continue
        elif held and STEP.match(line):
            yield from _paragraph(held, page)
            held = [line]
        else:
            held.append(line)
    yield from _paragraph(held, page)


def heading_level(title: str) -> int:
    """The level of a heading by its number: 1 for ``3`` and ``第3章``, 3 for ``3.2.1``."""
    found = re.match(r"\d+(?:\.\d+)*", title)
    return found[0].count(".") + 1 if found else 1


def _is_underlined(title: str, underline: str, before: list[str]) -> bool:
    # A full-width character counts as two columns; writers of plain text are seldom exact.
    width = len(title.strip()) + sum(sign > "\u2e7f" for sign in title)
    return len(title) <= 120 and not any(before) and 0.5 <= len(underline.strip()) / max(width, 1) <= 2


def _paragraph(lines: list[str], page: int | None) -> Iterator[Block]:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        yield Block(text, "step" if STEP.match(text) else "paragraph", page=page)
