"""HTML: headings, paragraphs, items, table rows and preformatted text by the standard library's parser.

Scripts, styles, navigation and comments are left out. Links and pictures are text alone: nothing that a page refers to
is opened.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from edgechat.documents.block import Block, Kind, ReadDocument
from edgechat.documents.limits import MAX_DEPTH, MAX_HEADING, UnreadableDocumentError
from edgechat.documents.readers.plain import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{2,30})", re.IGNORECASE)
_SKIPPED = frozenset(("script", "style", "nav", "template", "noscript", "svg", "head", "iframe", "object", "select"))
_IN_HEAD = frozenset(("base", "link", "meta", "noscript", "script", "style", "template", "title"))
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "html", "legend", "main", "p", "section", "summary", "tbody",
    "tfoot", "thead",
))  # fmt: skip
_TABLES = frozenset(("table", "tr", "td", "th"))
_LISTS = frozenset(("ol", "ul", "li"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BARE_MARK = re.compile(r"^([ ]*(?:-|\d+\.))\s*\n\s*", re.MULTILINE)
"""The mark of an item, alone on its line because a paragraph begins in the item."""
_CHUNK = 1 << 16


def read(_file: Path, data: bytes, name: str) -> ReadDocument:
    """Read an HTML file.

    Raises:
        UnreadableDocumentError: its encoding is unknown.
    """
    document = ReadDocument(iter(()))
    text = _text(data, name, document.notes)
    parser = _Parser(name)
    document.blocks = _fed(parser, text, document)
    return document


def _text(data: bytes, name: str, notes: list[str]) -> str:
    if found := _CHARSET.search(data[:4096]):
        try:
            return data.decode(found[1].decode("ascii")).replace("\r\n", "\n")
        except (LookupError, ValueError):
            pass  # a wrong declaration: the content decides
    return decoded(data, name, notes)


def _fed(parser: _Parser, text: str, document: ReadDocument) -> Iterator[Block]:
    for at in range(0, len(text), _CHUNK):
        parser.feed(text[at : at + _CHUNK])
        yield from parser.taken()
    parser.close()
    parser.flush()
    yield from parser.taken()
    document.title = " ".join(parser.title.split())


class _Parser(HTMLParser):
    """Collects blocks. Unclosed elements are closed by what cannot stand in them, as browsers do."""

    def __init__(self, name: str) -> None:
        super().__init__(convert_charrefs=True)
        self._name = name
        self._found: list[Block] = []
        self._text: list[str] = []
        self._kind: Kind = "paragraph"
        self._level = 0
        self._skipping: list[str] = []
        self._items = 0
        self._numbers: list[int | None] = []
        """The number of the last item of each open list; None for a list without numbers."""
        self._pre = 0
        self._row: list[str] | None = None
        self._is_header = True
        self._header = ""
        self._in_title = False
        self.title = ""

    def taken(self) -> list[Block]:
        """The blocks since the last call."""
        found, self._found = self._found, []
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        if tag == "title":
            self._in_title = not self.title
            return
        if self._skipping == ["head"] and tag not in _IN_HEAD:
            self._skipping.clear()  # its end tag may be left out
        if tag in _SKIPPED:
            self._skipping.append(tag)
        if self._skipping or tag in {"body", "html"}:
            return
        if tag == "br":
            self._text.append("\n")
        elif tag == "img":
            self._text.append(" ".join(value or "" for key, value in attrs if key == "alt"))
        elif tag in _HEADINGS and self._row is None:
            self.flush()
            self._kind, self._level = "heading", int(tag[1])
        elif tag in _TABLES:
            self._begin_table_part(tag)
        elif tag in _LISTS:
            self._begin_list_part(tag)
        elif tag == "pre":
            self._begin_block("code")
            self._pre += 1
        elif tag in _BLOCKS:
            self._begin_block("paragraph")

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        if tag == "title":
            self._in_title = False
        elif self._skipping:
            if tag == self._skipping[-1]:
                self._skipping.pop()
        elif tag in _HEADINGS and self._kind == "heading":
            self.flush()
        elif tag in _TABLES:
            self._end_table_part(tag)
        elif tag in _LISTS:
            self._end_list_part(tag)
        elif tag == "pre" and self._pre:
            self._pre -= 1
            if not self._items and self._row is None:
                self.flush()
        elif tag in _BLOCKS:
            self._begin_block("paragraph")

    def _begin_list_part(self, tag: str) -> None:
        if tag == "li":
            self._begin_item()
            return
        if not self._items:
            self.flush()
        if len(self._numbers) >= MAX_DEPTH:
            raise UnreadableDocumentError(f"{self._name} has lists nested more than {MAX_DEPTH} deep.")
        self._numbers.append(0 if tag == "ol" else None)

    def _end_list_part(self, tag: str) -> None:
        if tag != "li":
            if self._numbers:
                self._numbers.pop()
        elif self._items:
            self._items -= 1
            if not self._items:
                self.flush()

    def _begin_table_part(self, tag: str) -> None:
        if tag == "table":
            self.flush()
            self._header = ""
        elif tag == "tr":
            self.flush()
            self._row, self._is_header = [], True
        elif self._row is not None:
            self._is_header &= tag == "th"
            self._text.clear()

    def _end_table_part(self, tag: str) -> None:
        if self._row is None or tag == "table":
            self._row = None
            self.flush()
        elif tag == "tr":
            self._end_row()
        else:
            self._row.append(" ".join("".join(self._text).split()))
            self._text.clear()

    def handle_data(self, data: str) -> None:
        """Text; spaces count in preformatted text only."""
        if self._in_title:
            self.title += data[:MAX_HEADING]
        elif not self._skipping:
            self._text.append(data if self._pre else re.sub(r"\s+", " ", data))

    def flush(self) -> None:
        """End the block."""
        text = "".join(self._text)
        self._text.clear()
        text = text.strip("\n") if self._kind == "code" else _tidy(text)
        if text.strip():
            if self._kind == "heading":
                text = " ".join(text.split())[:MAX_HEADING].rstrip("¶#\uf0c1 ")
            self._found.append(Block(text, self._kind, self._level))
        self._kind, self._level = "paragraph", 0

    def _begin_block(self, kind: Kind) -> None:
        if self._row is not None or self._items:
            # Paragraphs in a cell or an item belong to it.
            self._text.append("\n")
        elif self._kind != "heading":
            self.flush()
            self._kind = kind

    def _begin_item(self) -> None:
        if self._row is not None:
            self._text.append("\n- ")
            return
        mark = "- "
        if self._numbers and self._numbers[-1] is not None:
            self._numbers[-1] += 1
            mark = f"{self._numbers[-1]}. "
        if self._items:
            self._text.append("\n" + "  " * self._items + mark)
        else:
            self.flush()
            self._kind = "step"
            self._text.append(mark)
        self._items += 1

    def _end_row(self) -> None:
        cells, self._row = self._row or [], None
        self._text.clear()
        row = " | ".join(cells)
        if not row.strip(" |"):
            return
        if self._is_header and not self._header:
            self._header = row
            self._found.append(Block(row, "row"))
        else:
            self._found.append(Block(row, "row", header=self._header))


def _tidy(text: str) -> str:
    """Lines without the spaces around them, but for the indentation of inner items; no blank lines."""
    text = _BARE_MARK.sub(r"\1 ", text)
    lines = (line.rstrip() if line.startswith("  ") else line.strip() for line in text.split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(re.sub(r"(?<=\S) {2,}", " ", line) for line in lines)).strip("\n")
