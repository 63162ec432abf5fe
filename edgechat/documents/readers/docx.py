"""DOCX: headings, paragraphs, items and table rows, read as a stream from the package's XML.

The file is a zip archive and its XML may be hostile: parts are read by chunks up to a bound and a ratio, and a document
type declaration, which no Word processor writes and every entity bomb needs, is refused. Nothing is unpacked to disk.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING
from xml.parsers import expat

from edgechat.documents.block import Block, Kind, ReadDocument
from edgechat.documents.limits import (
    MAX_DEPTH,
    MAX_HEADING,
    MAX_TEXT_BYTES,
    MAX_UNPACKED_RATIO,
    UnreadableDocumentError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
_STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main "
_MAIN, _STYLES, _CORE = "word/document.xml", "word/styles.xml", "docProps/core.xml"
_CHUNK = 1 << 16
_MAX_PART = 8 * MAX_TEXT_BYTES
"""Bytes of one part: its marks take several times the room of the text."""
_RATIO_FROM = 1 << 20
"""Unpacked bytes from which the ratio is looked at: small parts compress well."""
_LEVEL = re.compile(r"(?:heading|見出し|标题|überschrift|titre)\s*(\d)", re.IGNORECASE)


def read(file: Path, _data: bytes, name: str) -> ReadDocument:
    """Read a DOCX file.

    Raises:
        UnreadableDocumentError: it is no Word document, is protected by a password, or a bomb.
    """
    document = ReadDocument(iter(()))
    document.blocks = _blocks(file, name, document)
    return document


def _blocks(file: Path, name: str, document: ReadDocument) -> Iterator[Block]:
    try:
        with zipfile.ZipFile(file) as archive:
            parts = {each.filename for each in archive.infolist()}
            if _MAIN not in parts:
                raise UnreadableDocumentError(f"{name} is no Word document: it has no {_MAIN}.")
            styles = _Styles()
            if _STYLES in parts:
                _read_whole(archive, _STYLES, name, styles)
            body = _Body(styles.levels, styles.numbered)
            yield from _parsed(archive, name, body)
            document.pages = body.page if body.page > 1 else None
            if _CORE in parts:
                core = _Title()
                _read_whole(archive, _CORE, name, core)
                document.title = core.title
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise UnreadableDocumentError(f"{name} is damaged or no Word document: {error}.") from error
    except RuntimeError as error:  # zipfile's answer to an encrypted part
        raise UnreadableDocumentError(f"{name} is protected by a password.", hint="Save it without one.") from error


class _Handler:
    """Receives the elements of a part, without their namespaces."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def text(self, data: str) -> None:
        """Text between them."""


class _Styles(_Handler):
    """Which paragraph styles are headings, and which are items."""

    def __init__(self) -> None:
        self.levels: dict[str, int] = {}
        self.numbered: set[str] = set()
        self._style = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "style":
            self._style = attributes.get("styleId", "")
        elif tag == "name" and (found := _LEVEL.search(attributes.get("val", ""))):
            self.levels[self._style] = int(found[1])
        elif tag == "name" and attributes.get("val", "").lower() == "title":
            self.levels[self._style] = 1
        elif tag == "outlineLvl" and attributes.get("val", "9").isdigit() and int(attributes["val"]) < 9:
            self.levels.setdefault(self._style, int(attributes["val"]) + 1)
        elif tag == "numPr":
            self.numbered.add(self._style)


class _Title(_Handler):
    """The title in the document's properties."""

    def __init__(self) -> None:
        self.title = ""
        self._is_inside = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._is_inside = tag == "title"
        del attributes

    def end(self, tag: str) -> None:
        self._is_inside = False
        del tag

    def text(self, data: str) -> None:
        if self._is_inside and len(self.title) < MAX_HEADING:
            self.title += data


class _Body(_Handler):
    """Collects the blocks of the body."""

    def __init__(self, levels: dict[str, int], numbered: set[str]) -> None:
        self._levels, self._numbered = levels, numbered
        self.found: list[Block] = []
        self.page = 1
        self._text: list[str] = []
        self._is_text = False
        self._level = 0
        self._is_item = False
        self._cells: list[list[str]] = []
        """Per open table, the cells of the row so far."""
        self._headers: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "p":
            self._level, self._is_item = 0, False
            if not self._cells:
                self._text.clear()
        elif tag == "pStyle":
            style = attributes.get("val", "")
            self._level = self._levels.get(style, 0)
            self._is_item = style in self._numbered
        elif tag == "outlineLvl" and attributes.get("val", "").isdigit():
            level = int(attributes["val"]) + 1
            self._level = level if level < 10 else 0
        elif tag == "numPr":
            self._is_item = True
        elif tag == "t":
            self._is_text = True
        elif tag in {"tab", "br", "cr"}:
            self._text.append("\t" if tag == "tab" else "\n")
        elif tag == "lastRenderedPageBreak":
            self.page += 1
        elif tag == "tbl":
            self._cells.append([])
            self._headers.append("")
        elif tag == "tr" and self._cells:
            self._cells[-1].clear()
            self._text.clear()

    def end(self, tag: str) -> None:
        if tag == "t":
            self._is_text = False
        elif tag == "p":
            if self._cells:
                self._text.append(" ")
            else:
                self._end_paragraph()
        elif tag == "tc" and len(self._cells) == 1:
            self._cells[-1].append(" ".join("".join(self._text).split()))
            self._text.clear()
        elif tag == "tr" and len(self._cells) == 1:
            row = " | ".join(self._cells[-1])
            if row.strip(" |"):
                self.found.append(Block(row, "row", page=self.page, header=self._headers[-1]))
                self._headers[-1] = self._headers[-1] or row
        elif tag == "tbl" and self._cells:
            self._cells.pop()
            self._headers.pop()

    def text(self, data: str) -> None:
        if self._is_text:
            self._text.append(data)

    def _end_paragraph(self) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        if not text:
            return
        if self._level:
            self.found.append(Block(" ".join(text.split())[:MAX_HEADING], "heading", self._level, self.page))
        else:
            kind: Kind = "step" if self._is_item else "paragraph"
            self.found.append(Block(f"- {text}" if self._is_item else text, kind, page=self.page))


def _read_whole(archive: zipfile.ZipFile, part: str, name: str, handler: _Handler) -> None:
    for _ in _steps(archive, part, name, handler):
        pass


def _parsed(archive: zipfile.ZipFile, name: str, body: _Body) -> Iterator[Block]:
    for _ in _steps(archive, _MAIN, name, body):
        found, body.found = body.found, []
        yield from found


def _steps(archive: zipfile.ZipFile, part: str, name: str, handler: _Handler) -> Iterator[None]:
    """Parse a part chunk by chunk."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise UnreadableDocumentError(f"{name} has elements nested more than {MAX_DEPTH} deep.")
        handler.start(_bare(tag), {_bare(key): value for key, value in attributes.items()})

    def finish(tag: str) -> None:
        nonlocal depth
        depth -= 1
        handler.end(_bare(tag))

    def refuse(*_: object) -> None:
        raise UnreadableDocumentError(f"{name} declares a document type, which no Word document does: it is not read.")

    parser.StartElementHandler = begin
    parser.EndElementHandler = finish
    parser.CharacterDataHandler = handler.text
    parser.StartDoctypeDeclHandler = refuse
    packed, size = max(archive.getinfo(part).compress_size, 1), 0
    with archive.open(part) as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            if size > _MAX_PART or (size > _RATIO_FROM and size > MAX_UNPACKED_RATIO * packed):
                raise UnreadableDocumentError(
                    f"{name} unpacks to more than {size / 1e6:,.0f} MB from {packed / 1e6:.1f} MB: it is not read."
                )
            try:
                parser.Parse(chunk, False)
            except expat.ExpatError as error:
                raise UnreadableDocumentError(f"{name} is damaged: {part}: {error}.") from error
            yield


def _bare(tag: str) -> str:
    return tag.removeprefix(_WORD).removeprefix(_STRICT).rpartition(" ")[2]
