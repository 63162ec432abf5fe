"""The program that reads one PDF file with PDFium, in a process of its own: native code, and a file from anywhere.

Usage: ``pdf_child FILE MEMORY_BYTES SECONDS``. Writes JSON lines: the facts of the document first, then one line a page
with its lines of text and the size of their letters. Confined before the file is opened: it can write no file, start no
program and open no socket.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat.documents.limits import MAX_HEADING, MAX_PAGES
from edgechat.engine.child.sandbox import confine

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_OUTLINE = 20_000
MAX_PAGE_CHARACTERS = 200_000


def main() -> int:
    """Read the file that the arguments name; exit status 3 where it needs a password, 4 where it is no PDF."""
    import pypdfium2 as pdfium  # noqa: PLC0415 - loads the library

    file, memory, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    confine(writable=())
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CPU, seconds)
    try:
        document = pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        sys.stderr.write(f"{error}\n")
        return 3 if "password" in str(error).lower() else 4
    n_pages = len(document)
    if n_pages > MAX_PAGES:
        sys.stderr.write(f"it has {n_pages} pages, more than {MAX_PAGES}\n")
        return 5
    title = document.get_metadata_value("Title")
    _write({"pages": n_pages, "title": title[:MAX_HEADING], "outline": list(_outline(document))})
    for number in range(n_pages):
        lines: list[list[Any]] = []
        problem = ""
        try:
            page = document[number]
            text = page.get_textpage()
            if text.count_chars() > MAX_PAGE_CHARACTERS:
                problem = f"it has more than {MAX_PAGE_CHARACTERS} characters"
            else:
                lines = list(_lines(text))
            text.close()
            page.close()
        except pdfium.PdfiumError as error:
            problem = str(error)
        _write({"page": number + 1, "lines": lines, "problem": problem})
    return 0


def _limit(kind: int, value: int) -> None:
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        sys.stderr.write("A limit could not be set.\n")  # a lower hard limit is in force already


def _outline(document: Any) -> Iterator[list[Any]]:  # noqa: ANN401 - pypdfium2 has no types
    import pypdfium2 as pdfium  # noqa: PLC0415

    try:
        for count, mark in enumerate(document.get_toc(max_depth=6)):
            if count >= _MAX_OUTLINE:
                return
            target = mark.get_dest()
            page = target.get_index() if target else None
            if page is not None:
                yield [mark.level + 1, mark.get_title()[:MAX_HEADING], page + 1]
    except pdfium.PdfiumError as error:
        sys.stderr.write(f"The outline cannot be read: {error}\n")


def _lines(text: Any) -> Iterator[list[Any]]:  # noqa: ANN401
    """The lines of a page in reading order, each with the size of its first letter in points."""
    from pypdfium2 import raw  # noqa: PLC0415

    count = text.count_chars()
    if count <= 0:
        return
    buffer = (ctypes.c_ushort * (count + 1))()
    raw.FPDFText_GetText(text, 0, count, buffer)
    whole = bytes(buffer).decode("utf-16-le", "replace")
    at = 0
    for line in whole.split("\n"):
        # PDFium marks a hyphen at the end of a line, and joins the word.
        bare = line.rstrip("\r\0 \t").replace("\ufffe", "")
        if bare.strip():
            first = at + len(line) - len(line.lstrip())
            size = raw.FPDFText_GetFontSize(text, first)
            yield [bare, round(float(size), 1)]
        at += len(line) + 1


def _write(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
