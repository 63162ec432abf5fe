"""Markdown: units are headings, paragraphs, list items, quotations and table cells; code, HTML and front matter stay.

Follows CommonMark's block structure as far as it decides what is text, and the usual extensions: tables, task lists,
footnotes, definition lists, callouts (``> [!NOTE]``) and admonitions (``!!! note``). A doubtful line stays unchanged: a
reader sees an untranslated line at once, but not a broken code block.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.translate.formats.markdown_structure import structure
from edgechat.tasks.translate.formats.markdown_text import BULLET, QUOTED, TextCutter, is_continued

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from edgechat.tasks.batch.document import Piece

__all__ = ["pieces", "structure"]

_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_QUOTE = re.compile(r"(?:[ \t]{0,3}>[ \t]?)*")
_FENCE = re.compile(rf"(?P<lead>[ \t]*(?:{BULLET}[ \t]+)*)(?P<fence>`{{3,}}|~{{3,}})(?P<info>[^\r\n]*)")
_FRONT = {"---": ("---", "..."), "+++": ("+++",)}
_BLANK = re.compile(r"[ \t]*(?:>[ \t]*)*\r?\n?\Z")
_HEADING = re.compile(rf"({QUOTED}[ \t]*(?:{BULLET}[ \t]+)*#{{1,6}}[ \t]+)(.*?)([ \t]*(?:[ \t]#+)?[ \t]*\r?\n?)\Z")
_RULE = re.compile(r"[ \t]{0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){2,}|(?:_[ \t]*){3,}|=+[ \t]*)\r?\n?\Z")
_UNDERLINE = re.compile(r"[ \t]{0,3}-[ \t]*\r?\n?\Z")
_REFERENCE = re.compile(r"[ \t]{0,3}\[(?!\^)((?:\\.|[^\[\]\\])+)\]:[ \t]*\S")
_HTML = re.compile(r"[ \t]{0,3}<(?:/?[A-Za-z][A-Za-z0-9-]*(?=[\s/>])|!--|\?|!\[CDATA\[|![A-Z])")
_HTML_RAW = re.compile(r"[ \t]{0,3}<(script|style|pre|textarea)\b", re.IGNORECASE)
_MATH = re.compile(r"[ \t]*\$\$")
_DIRECTIVE = re.compile(r"[ \t]*(?::::|\{%.*%\}|\[TOC\])", re.IGNORECASE)
_CALLOUT = re.compile(r"((?:[ \t]{0,3}>[ \t]?)+\[![\w-]+\][-+]?[ \t]*)(.*?)([ \t]*\r?\n?)\Z")
# The head of a block with a title: !!! note "Title", ??? tip, === "Tab", :::note[Title]
_TITLED = re.compile(
    r"""([ \t]*(?:(?:!!!|\?\?\?\+?|===[!+]?)(?:[ \t]+[\w-]+)*[ \t]*"|:::+[ \t]*\w+\[))"""
    r"""([^"\]\r\n]*)(["\]][^\r\n]*\r?\n?)\Z"""
)
_ADMONITION = re.compile(r"([ \t]*)(?:!!!|\?\?\?\+?|===[!+]?)[ \t]+[\w\"]")
_DELIMITER = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\r?\n?\Z")
_BAR = re.compile(r"((?<!\\)\|(?=(?:[^`]*`[^`]*`)*[^`]*$))")
_ITEM = re.compile(rf"[ \t]*{BULLET}[ \t]+|[ \t]*\[\^[^\]]+\]:[ \t]*")
_DEFINITION = re.compile(rf"{QUOTED}[ \t]{{0,3}}:[ \t]+\S")
_HARD_BREAK = re.compile(r"(?:[ ]{2,}|\\)\r?\n\Z")
_FOOTNOTE_INDENT = 4


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a Markdown document."""
    lines = _LINE.findall(text)
    at = _front_matter(lines)
    yield "".join(lines[:at])
    yield from _Blocks(lines, TextCutter(_labels(lines[at:]))).pieces(at)


def _labels(lines: list[str]) -> Iterator[str]:
    """The labels that the document defines links for."""
    return (found[1] for line in lines if (found := _REFERENCE.match(_inner(line))) is not None)


def _inner(line: str) -> str:
    """The line without the marks of quotations."""
    found = _QUOTE.match(line)
    return line[found.end() :] if found else line


class _Blocks:
    """Goes through the lines once and cuts blocks out of them."""

    def __init__(self, lines: list[str], cutter: TextCutter) -> None:
        self._lines, self._cutter = lines, cutter
        self._offset = 0  # column of the current list item's text; 0 outside lists
        self._was_text = False
        self._paragraph: list[str] = []

    def pieces(self, at: int) -> Iterator[Piece]:
        """The pieces from line ``at`` on."""
        while at < len(self._lines):
            line = self._lines[at]
            end = self._untouched(at)
            is_table = end == at and self._is_table(at)
            titled = _TITLED.match(line) or _CALLOUT.match(line)
            if self._ends_paragraph(line, is_other=end > at or is_table or titled is not None):
                yield from self._flush(line)
            if titled is not None:
                yield titled[1]
                yield from self._cutter.unit(titled[2])
                yield titled[3]
                self._enter(line)
                at += 1
                continue
            if end > at:
                self._was_text = False
                self._enter(line)
                yield "".join(self._lines[at:end])
                at = end
                continue
            self._follow_list(line)
            self._was_text = True
            if heading := _HEADING.match(line):
                yield heading[1]
                yield from self._cutter.unit(heading[2])
                yield heading[3]
                at += 1
            elif is_table:
                at = yield from self._table(at)
            else:
                self._paragraph.append(line)
                at += 1
                if _HARD_BREAK.search(line):
                    yield from self._flush("")
        yield from self._flush("")

    def _ends_paragraph(self, line: str, *, is_other: bool) -> bool:
        if not self._paragraph:
            return False
        return is_other or bool(_HEADING.match(line)) or not is_continued(self._paragraph[0], line)

    def _flush(self, following: str) -> Iterator[Piece]:
        paragraph, self._paragraph = self._paragraph, []
        if _DEFINITION.match(following) and paragraph and not _DEFINITION.match(paragraph[0]):
            # Each line before a definition is a term of its own.
            for term in paragraph:
                yield from self._cutter.paragraph([term])
        else:
            yield from self._cutter.paragraph(paragraph)

    def _enter(self, line: str) -> None:
        """Set the column from which text is indented, after a line that is not text."""
        if admonition := _ADMONITION.match(line):
            self._offset = len(admonition[1].expandtabs(4)) + 4
        elif not _BLANK.match(line) and _inner(line)[:1] not in {" ", "\t"}:
            self._offset = 0

    def _follow_list(self, line: str) -> None:
        inner = _inner(line)
        # A list continues after blank lines while the next lines are indented.
        if item := _ITEM.match(inner):
            is_footnote = item[0].rstrip().endswith(":") and "[^" in item[0]
            self._offset = _FOOTNOTE_INDENT if is_footnote else len(item[0].expandtabs(4))
        elif not self._was_text and inner[:1] not in {" ", "\t"}:
            self._offset = 0

    def _untouched(self, at: int) -> int:
        """End of the block at ``at`` if it must stay unchanged; ``at`` itself if it is text."""
        line = _inner(self._lines[at])
        if fence := _FENCE.match(line):
            return self._fenced(at, fence)
        if _MATH.match(line):
            is_whole = line.strip() != "$$" and line.rstrip().endswith("$$")
            return self._until(at, lambda each: each.rstrip().endswith("$$"), ends_here=is_whole)
        if raw := _HTML_RAW.match(line):
            close = f"</{raw[1].lower()}>"
            return self._until(at, lambda each: close in each.lower(), ends_here=close in line.lower())
        if line.lstrip().startswith("<!--"):
            return self._until(at, lambda each: "-->" in each, ends_here="-->" in line)
        if _HTML.match(line) and not self._was_text:
            while at < len(self._lines) and not _BLANK.match(self._lines[at]):
                at += 1
            return at
        if any(each.match(line) for each in (_BLANK, _RULE, _REFERENCE, _DIRECTIVE)) or _BLANK.match(self._lines[at]):
            return at + 1
        if _ADMONITION.match(line) or (self._was_text and _UNDERLINE.match(line)):
            return at + 1
        wide = line.expandtabs(4)
        is_code = not self._was_text and len(wide) - len(wide.lstrip()) >= self._offset + 4
        return at + 1 if is_code and not (self._offset and _ITEM.match(line)) else at

    def _fenced(self, at: int, fence: re.Match[str]) -> int:
        sign, length = fence["fence"][0], len(fence["fence"])
        if sign == "`" and "`" in fence["info"]:
            return at  # a code span at the start of a line
        close = re.compile(rf"[ \t]*{re.escape(sign)}{{{length},}}[ \t]*\r?\n?\Z")
        depth = self._depth(at)
        for end in range(at + 1, len(self._lines)):
            if self._depth(end) < depth:
                return end  # the end of the quotation ends its code
            if close.match(_inner(self._lines[end]) if depth else self._lines[end]):
                return end + 1
        return len(self._lines)

    def _depth(self, at: int) -> int:
        found = _QUOTE.match(self._lines[at])
        return found[0].count(">") if found else 0

    def _until(self, at: int, is_end: Callable[[str], bool], *, ends_here: bool) -> int:
        if ends_here:
            return at + 1
        for end in range(at + 1, len(self._lines)):
            if is_end(self._lines[end]):
                return end + 1
        return len(self._lines)

    def _is_table(self, at: int) -> bool:
        if "|" not in self._lines[at] or at + 1 >= len(self._lines):
            return False
        below = _inner(self._lines[at + 1])
        return "-" in below and "|" in below and bool(_DELIMITER.match(below))

    def _table(self, at: int) -> Generator[Piece, None, int]:
        begin = at
        while at < len(self._lines):
            line = self._lines[at]
            if at > begin + 1 and (_BLANK.match(line) or ("|" not in line and self._untouched(at) > at)):
                break
            if at == begin + 1:
                yield line
                at += 1
                continue
            # A bar inside code or after a backslash does not separate cells.
            start = len(line) - len(_inner(line))
            yield line[:start]
            for cell in _BAR.split(line[start:]):
                core = cell.strip()
                if core in {"", "|"}:
                    yield cell
                    continue
                first = cell.index(core)
                yield cell[:first]
                yield from self._cutter.unit(core, is_cell=True)
                yield cell[first + len(core) :]
            at += 1
        return at


def _front_matter(lines: list[str]) -> int:
    first = lines[0].removeprefix("\ufeff").rstrip() if lines else ""
    for at, line in enumerate(lines[1:], 1):
        if line.rstrip() in _FRONT.get(first, ()):
            return at + 1
    return 0
