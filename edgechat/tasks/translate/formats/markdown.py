"""Markdown: units are headings, paragraphs, list items, quotations and table cells; code, HTML and front matter stay.

Follows CommonMark's block structure as far as it decides what is text. A doubtful line stays unchanged: a reader sees
an untranslated line at once, but not a broken code block.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import Piece, TextUnit
from edgechat.tasks.translate.languages import scripts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_FENCE = re.compile(
    r"(?P<lead>[ \t]*(?:>[ \t]?)*[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<info>[^\r\n]*)"
)
_FRONT = {"---": ("---", "..."), "+++": ("+++",)}
_BLANK = re.compile(r"[ \t]*(?:>[ \t]*)*\r?\n?\Z")
_HEADING = re.compile(r"([ \t]{0,3}#{1,6}[ \t]+)(.*?)([ \t]*(?:[ \t]#+)?[ \t]*\r?\n?)\Z")
_RULE = re.compile(r"[ \t]{0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){2,}|(?:_[ \t]*){3,}|=+[ \t]*)\r?\n?\Z")
_REFERENCE = re.compile(r"[ \t]{0,3}\[(?!\^)[^\]]+\]:\s*\S")
_HTML = re.compile(r"[ \t]{0,3}<(?:/?[A-Za-z][A-Za-z0-9-]*(?=[\s/>])|!--|\?|!\[CDATA\[|![A-Z])")
_HTML_RAW = re.compile(r"[ \t]{0,3}<(script|style|pre|textarea)\b", re.IGNORECASE)
_MATH = re.compile(r"[ \t]*\$\$")
_DIRECTIVE = re.compile(r"[ \t]*(?::::|\{%.*%\}|!!!|\[TOC\])", re.IGNORECASE)
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\r?\n?\Z")
# The start of a line before its text: quotation marks, list bullets, check boxes, footnotes.
_QUOTED = r"(?:[ \t]*>[ \t]?)*"
_LEAD = re.compile(
    _QUOTED
    + r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)*(?:\[\^[^\]]+\]:[ \t]*)?(?:\[![A-Z]+\][ \t]*)?"
)
_ITEM = re.compile(r"[ \t]*(?:>[ \t]?)*[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_HARD_BREAK = re.compile(r"(?:[ ]{2,}|\\)\r?\n\Z")


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a Markdown document."""
    lines = _LINE.findall(text)
    at = _front_matter(lines)
    yield "".join(lines[:at])
    offset = 0  # column of the current list item's text; 0 outside lists
    was_text = False
    paragraph: list[str] = []
    while at < len(lines):
        line = lines[at]
        end = _untouched(lines, at, offset=offset, after_text=was_text)
        is_table = end == at and _is_table(lines, at)
        if paragraph and (end > at or is_table or _HEADING.match(line) or _is_new(paragraph[0], line)):
            yield from _paragraph(paragraph)
            paragraph = []
        if end > at:
            was_text = False
            offset = offset if _BLANK.match(line) or line[:1] in " \t" else 0
            yield "".join(lines[at:end])
            at = end
            continue
        # A list continues after blank lines while the next lines are indented.
        if item := _ITEM.match(line):
            offset = len(item[0].expandtabs(4))
        elif not was_text and line[:1] not in " \t":
            offset = 0
        was_text = True
        if heading := _HEADING.match(line):
            yield heading[1]
            yield from _unit(heading[2])
            yield heading[3]
            at += 1
        elif is_table:
            at = yield from _table(lines, at)
        else:
            paragraph.append(line)
            at += 1
            if _HARD_BREAK.search(line):
                yield from _paragraph(paragraph)
                paragraph = []
    yield from _paragraph(paragraph)


def _front_matter(lines: list[str]) -> int:
    first = lines[0].removeprefix("\ufeff").rstrip() if lines else ""
    for at, line in enumerate(lines[1:], 1):
        if line.rstrip() in _FRONT.get(first, ()):
            return at + 1
    return 0


def _untouched(lines: list[str], at: int, *, offset: int, after_text: bool) -> int:
    """End of the block at ``at`` if it must stay unchanged; ``at`` itself if it is text."""
    line = lines[at]
    if fence := _FENCE.match(line):
        return _fenced(lines, at, fence)
    if _MATH.match(line):
        is_whole = line.strip() != "$$" and line.rstrip().endswith("$$")
        return _until(lines, at, lambda each: each.rstrip().endswith("$$"), ends_here=is_whole)
    if raw := _HTML_RAW.match(line):
        close = f"</{raw[1].lower()}>"
        return _until(lines, at, lambda each: close in each.lower(), ends_here=close in line.lower())
    if line.lstrip().startswith("<!--"):
        return _until(lines, at, lambda each: "-->" in each, ends_here="-->" in line)
    if _HTML.match(line) and not after_text:
        while at < len(lines) and not _BLANK.match(lines[at]):
            at += 1
        return at
    if _BLANK.match(line) or _RULE.match(line) or _REFERENCE.match(line) or _DIRECTIVE.match(line):
        return at + 1
    wide = line.expandtabs(4)
    is_code = not after_text and len(wide) - len(wide.lstrip()) >= offset + 4
    return at + 1 if is_code and not (offset and _ITEM.match(line)) else at


def _fenced(lines: list[str], at: int, fence: re.Match[str]) -> int:
    sign, length = fence["fence"][0], len(fence["fence"])
    if sign == "`" and "`" in fence["info"]:
        return at  # a code span at the start of a line
    close = re.compile(rf"[ \t]*(?:>[ \t]?)*[ \t]*{re.escape(sign)}{{{length},}}[ \t]*\r?\n?\Z")
    return _until(lines, at, lambda each: close.match(each) is not None, ends_here=False)


def _until(lines: list[str], at: int, is_end: Callable[[str], bool], *, ends_here: bool) -> int:
    if ends_here:
        return at + 1
    for end in range(at + 1, len(lines)):
        if is_end(lines[end]):
            return end + 1
    return len(lines)


def _paragraph(lines: list[str]) -> Iterator[Piece]:
    """The lines of a paragraph as one unit, because a line break does not end a sentence."""
    if not lines:
        return
    whole = "".join(lines)
    lead = _LEAD.match(whole)
    start = lead.end() if lead else 0
    body = whole[start:]
    core = body.rstrip(" \t\r\n")
    if core.endswith("\\"):
        core = core[:-1].rstrip(" \t")
    yield whole[:start]
    first, *others = re.split(r"\r?\n", core)
    parts = [first, *(re.sub(rf"^{_QUOTED}", "", part) for part in others)]
    yield from _unit(core, _joined([part.strip() for part in parts]))
    yield body[len(core) :]


def _joined(parts: list[str]) -> str:
    text = parts[0]
    for part in parts[1:]:
        text += ("" if _is_east(text[-1:]) and _is_east(part[:1]) else " ") + part
    return text


def _is_east(sign: str) -> bool:
    return not {"kana", "han"}.isdisjoint(scripts_of(sign)) or sign in set("、。，！？「」")


def _is_new(first: str, line: str) -> bool:
    """Whether a line begins a new block instead of continuing the paragraph that began with ``first``."""
    lead = _LEAD.match(line)
    own = lead[0].replace(">", "").strip() if lead else ""
    depth = line[: len(lead[0])].count(">") if lead else 0
    return bool(own) or (depth > 0 and depth != first[: first.find(first.lstrip("> \t")[:1])].count(">"))


def _is_table(lines: list[str], at: int) -> bool:
    return (
        "|" in lines[at]
        and at + 1 < len(lines)
        and "-" in lines[at + 1]
        and "|" in lines[at + 1]
        and bool(_DELIMITER.match(lines[at + 1]))
    )


def _table(lines: list[str], at: int) -> Generator[Piece, None, int]:
    begin = at
    while at < len(lines) and "|" in lines[at] and not _BLANK.match(lines[at]):
        if at == begin + 1:
            yield lines[at]
        else:
            # A bar inside code or after a backslash does not separate cells.
            for cell in re.split(r"((?<!\\)\|(?=(?:[^`]*`[^`]*`)*[^`]*$))", lines[at]):
                core = cell.strip()
                if core in {"", "|"}:
                    yield cell
                    continue
                start = cell.index(core)
                yield cell[:start]
                yield from _unit(core)
                yield cell[start + len(core) :]
        at += 1
    return at


def _unit(raw: str, text: str | None = None) -> Iterator[Piece]:
    text = raw if text is None else text
    if any(sign.isalpha() for sign in text):
        yield TextUnit(text, raw)
    else:
        yield raw
