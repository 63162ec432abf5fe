"""Adding files and folders to the index: what is read, what is skipped and why.

A file is read whole before anything of it is stored. One that cannot be read is named and skipped; what was stored of
it before stays.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.documents.formats import FORMATS, READ_IN_PARTS, READERS, format_of
from edgechat.documents.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES, UnreadableDocumentError, too_large
from edgechat.documents.sections import sections
from edgechat.documents.stored import NewDocument
from edgechat.errors import UsageError
from edgechat.plaintext import clean_line
from edgechat.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgechat.documents.block import ReadDocument
    from edgechat.documents.library import Library
    from edgechat.documents.sections import Section
    from edgechat.progress import Progress


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be added, and why."""

    path: str
    reason: str


@dataclass(slots=True)
class AddReport:
    """What became of the files."""

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Parts of added files that could not be read."""
    sections: int = 0
    """Sections that are new or changed."""


def add(
    library: Library, paths: Iterable[Path], collection: str, *, progress: Progress = SILENT, is_quick: bool = False
) -> AddReport:
    """Add files, and the documents in folders, to a collection.

    Args:
        library: the index.
        paths: files and folders.
        collection: the name that questions select.
        progress: told the bytes that are done.
        is_quick: take a file with the size and time of what is stored for unchanged, without reading it.

    Raises:
        UsageError: a path does not exist.
        StateError: the index cannot be written.
    """
    found = list(_files(paths))
    report = AddReport()
    noted = 0
    progress.begin("Reading", sum(size for _, size in found))
    try:
        for file, size in found:
            name = clean_line(file.name)
            try:
                if is_quick and library.is_unchanged(collection, str(file), size, file.stat().st_mtime_ns):
                    report.unchanged.append(str(file))
                else:
                    _add(library, file, collection, report)
            except UnreadableDocumentError as error:
                report.skipped.append(Skipped(str(file), str(error)))
                progress.note(f"Skipped: {error}")
            except OSError as error:
                report.skipped.append(Skipped(str(file), f"{name} cannot be read: {error.strerror}."))
                progress.note(f"Skipped: {name} cannot be read: {error.strerror}.")
            for note in report.notes[noted:]:
                progress.note(note)
            noted = len(report.notes)
            progress.advance(size)
    finally:
        progress.end()
    return report


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """The files to add, with their sizes: every named one, and in folders those of a known format."""
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.")
        for file in [path] if not path.is_dir() else _walk(path):
            # Not resolved: a link in a folder is stored under its own name.
            whole = Path(os.path.abspath(file))  # noqa: PTH100 - resolves .. without following links
            if whole not in seen:
                seen.add(whole)
                yield whole, whole.stat().st_size if whole.is_file() else 0


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.suffix.lower() in FORMATS and file.is_file():
                yield file


def read_file(file: Path) -> tuple[ReadDocument, list[Section], str]:
    """Read a document and cut it into sections; also its SHA-256.

    Raises:
        UnreadableDocumentError: the format is unknown, or the content cannot be read within the limits.
        OSError: the file cannot be read.
    """
    name = clean_line(file.name)
    data, digest = _content(file, name)
    return (*_cut(file, data, name), digest)


def _add(library: Library, file: Path, collection: str, report: AddReport) -> None:
    name = clean_line(file.name)
    data, digest = _content(file, name)
    if library.is_current(collection, str(file), digest):
        report.unchanged.append(str(file))
        return
    document, found = _cut(file, data, name)
    facts = file.stat()
    new = NewDocument(
        collection=collection,
        path=str(file),
        name=name,
        title=clean_line(document.title) or _first_heading(found) or file.stem,
        format=format_of(file, name),
        sha256=digest,
        bytes=facts.st_size,
        changed_ns=facts.st_mtime_ns,
        pages=document.pages,
    )
    report.sections += library.add(new, found)
    report.notes += document.notes
    report.added.append(str(file))


def _cut(file: Path, data: bytes, name: str) -> tuple[ReadDocument, list[Section]]:
    document = READERS[format_of(file, name)](file, data, name)
    found: list[Section] = []
    size = 0
    for section in sections(document.blocks, document.title):
        size += len(section.text)
        if size > MAX_TEXT_BYTES:
            raise too_large(name, size, MAX_TEXT_BYTES, ": its text")
        found.append(section)
    if not found:
        raise UnreadableDocumentError(f"{name} holds no text.")
    return document, found


def _first_heading(found: list[Section]) -> str:
    return found[0].headings[0] if found[0].headings else ""


def _content(file: Path, name: str) -> tuple[bytes, str]:
    """The bytes of a file, where its reader takes them, and its SHA-256."""
    form = format_of(file, name)
    if not file.is_file():
        raise UnreadableDocumentError(f"{name} is no regular file.")
    size, limit = file.stat().st_size, MAX_FILE_BYTES if form in READ_IN_PARTS else MAX_TEXT_BYTES
    if size > limit:
        raise too_large(name, size, limit)
    digest = hashlib.sha256()
    if form not in READ_IN_PARTS:
        with file.open("rb") as stream:
            data = stream.read(limit + 1)
        digest.update(data)
        return data, digest.hexdigest()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return b"", digest.hexdigest()
