"""PDF: pages, headings by the outline or by the size of letters, paragraphs and steps by the shape of lines.

PDFium reads the file in a child process (``pdf_child.py``) under bounds of memory and time. Lines that stand at the top
or bottom of many pages, and those of a table of contents, are left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgechat.documents.block import Block, ReadDocument
from edgechat.documents.limits import MAX_HEADING, MAX_SECONDS, MAX_TEXT_BYTES, UnreadableDocumentError, too_large
from edgechat.documents.readers.plain import STEP, is_contents_line
from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command, python_environment
from edgechat.engine.child.run import last_line, signal_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_MEMORY_BYTES = 1 << 30
"""Address space of the child: shared libraries and the mapped file count in it."""
_PASSWORD, _NO_PDF = 3, 4
_MARGIN_LINES = 2
"""Lines at the top and the bottom of a page that may be a running title or a page number."""
_REPEATED = 0.25
"""Share of the pages on which such a line stands to be left out."""
_LARGER = 1.12
"""A heading's letters against those of the text."""
_MIN_TEXT_PER_PAGE = 4
"""Characters, on average: a scanned document has none, or a page number."""
_END = re.compile(r"[.!?:;。！？：」』）)]\s*$")
_DIGITS = re.compile(r"\d+")
_CJK_JOIN = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")


@dataclass(slots=True)
class _Page:
    number: int
    lines: list[tuple[str, float]]
    problem: str = ""


def read(file: Path, _data: bytes, name: str) -> ReadDocument:
    """Read a PDF file.

    Raises:
        UnreadableDocumentError: it is no PDF, needs a password, has no text (a scan), or exceeds a bound.
    """
    facts, pages = _pages(file, name)
    notes = [f"{name}, page {page.number} was not read: {page.problem}." for page in pages if page.problem]
    n_characters = sum(len(line) for page in pages for line, _ in page.lines)
    if n_characters < _MIN_TEXT_PER_PAGE * max(len(pages), 1):
        raise UnreadableDocumentError(
            f"{name} has {len(pages)} page(s) and no text in them: it seems to be scanned.",
            hint="Run it through a text recognition program first (ocrmypdf, for example), and add the result.",
        )
    _drop_running_titles(pages)
    title = str(facts.get("title", "")).strip()
    outline = [(int(level), str(text), int(page)) for level, text, page in facts.get("outline", [])]
    return ReadDocument(_blocks(pages, outline), title, len(pages), notes)


def _pages(file: Path, name: str) -> tuple[dict[str, Any], list[_Page]]:
    """What the child wrote: the document's facts, and its pages."""
    command = python_command(
        "edgechat.documents.readers.pdf_child", str(file.absolute()), str(_MEMORY_BYTES), str(round(MAX_SECONDS))
    )
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, cwd=WORKING_DIRECTORY,
            env=python_environment(),
        )  # fmt: skip
        try:
            assert child.stdout is not None  # noqa: S101 - a pipe, see above
            facts, pages = _received(child.stdout, name)
            status = child.wait(timeout=30)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()
        errors.seek(0)
        said = errors.read(1 << 16).decode("utf-8", "replace")
    if status:
        raise _failure(name, status, said)
    return facts, pages


def _received(stream: IO[bytes], name: str) -> tuple[dict[str, Any], list[_Page]]:
    facts: dict[str, Any] = {}
    pages: list[_Page] = []
    size = 0
    while line := stream.readline(MAX_TEXT_BYTES):
        size += len(line)
        if size > 2 * MAX_TEXT_BYTES:
            raise too_large(name, size, 2 * MAX_TEXT_BYTES, ": its text")
        value = json.loads(line) if line.endswith(b"\n") else {}
        if "page" in value:
            lines = [(str(text), float(points)) for text, points in value["lines"]]
            pages.append(_Page(value["page"], lines, str(value["problem"]).rstrip(".")))
        elif value:
            facts = value
    return facts, pages


def _failure(name: str, status: int, said: str) -> UnreadableDocumentError:
    if status == _PASSWORD:
        return UnreadableDocumentError(f"{name} is protected by a password.", hint="Save it without one.")
    if status == _NO_PDF:
        return UnreadableDocumentError(f"{name} is no PDF, or damaged.")
    if status < 0:
        ended = signal_name(-status)
        why = f"took longer than {MAX_SECONDS:.0f} s" if ended in {"SIGXCPU", "SIGKILL"} else f"ended by {ended}"
        return UnreadableDocumentError(f"{name} cannot be read: its reader {why}.")
    return UnreadableDocumentError(f"{name} cannot be read: {last_line(said) or f'exit status {status}'}.")


def _drop_running_titles(pages: list[_Page]) -> None:
    def shape(line: str) -> str:
        return _DIGITS.sub("#", " ".join(line.split())).casefold()

    seen: Counter[str] = Counter()
    for page in pages:
        edges = {*page.lines[:_MARGIN_LINES], *page.lines[-_MARGIN_LINES:]}
        seen.update({shape(line) for line, _ in edges})
    often = {line for line, count in seen.items() if count >= max(3, _REPEATED * len(pages))} | {"#"}
    for page in pages:
        last = len(page.lines) - _MARGIN_LINES
        page.lines = [
            (line, size)
            for at, (line, size) in enumerate(page.lines)
            if not ((at < _MARGIN_LINES or at >= last) and shape(line) in often) and not is_contents_line(line)
        ]


def _blocks(pages: list[_Page], outline: list[tuple[int, str, int]]) -> Iterator[Block]:
    body = _body_size(pages)
    sizes = sorted({size for page in pages for _, size in page.lines if size >= _LARGER * body}, reverse=True)[:6]
    marks: dict[int, list[tuple[int, str]]] = {}
    for level, title, number in outline:
        marks.setdefault(number, []).append((level, title))
    width = _usual_width(pages)
    held: list[str] = []
    began = 1
    for page in pages:
        wanted = marks.get(page.number, [])
        found = _headings_on(page, wanted)
        missing = [mark for at, mark in enumerate(wanted) if at not in found.values()]
        for level, title in missing:  # its words are not on the page as the outline has them
            yield from _paragraph(held, began)
            held = []
            yield Block(title[:MAX_HEADING], "heading", level, page.number)
        for at, (line, size) in enumerate(page.lines):
            level = wanted[found[at]][0] if at in found else 0
            if not level and not outline and size in sizes and len(line) <= 120 and any(map(str.isalpha, line)):
                level = sizes.index(size) + 1
            if level:
                yield from _paragraph(held, began)
                held = []
                yield Block(line.strip()[:MAX_HEADING], "heading", level, page.number)
                continue
            if held and (STEP.match(line) or (_END.search(held[-1]) and len(held[-1]) < 0.75 * width)):
                yield from _paragraph(held, began)
                held = []
            if not held:
                began = page.number
            held.append(line)
    yield from _paragraph(held, began)


def _body_size(pages: list[_Page]) -> float:
    """The size of most letters."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line, size in page.lines:
            sizes[size] += len(line)
    return sizes.most_common(1)[0][0] if sizes else 10.0


def _usual_width(pages: list[_Page]) -> int:
    """Characters of a full line."""
    widths = sorted(len(line) for page in pages for line, _ in page.lines)
    return widths[int(0.9 * (len(widths) - 1))] if widths else 80


def _headings_on(page: _Page, marks: list[tuple[int, str]]) -> dict[int, int]:
    """Which lines of a page are which entries of the outline, in order."""
    found: dict[int, int] = {}
    at = 0
    for number, (_, title) in enumerate(marks):
        wanted = _key(title)
        for index in range(at, len(page.lines)):
            have = _key(page.lines[index][0])
            # Lines often have the number before the title, which the outline leaves out.
            if wanted and (have == wanted or (have.endswith(wanted) and len(have) <= len(wanted) + 8)):
                found[index] = number
                at = index + 1
                break
    return found


def _key(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


def _paragraph(lines: list[str], page: int) -> Iterator[Block]:
    text = _CJK_JOIN.sub("", "\n".join(lines)).strip("\n")
    if text.strip():
        yield Block(text, "step" if STEP.match(text) else "paragraph", page=page)
