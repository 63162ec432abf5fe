"""Writes a document with its units rewritten, after it has been read back and compared with the original.

A new text that would change the document's structure, such as a line that begins with ``#`` in Markdown, is not
written: its unit stays as it is and is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from edgechat.errors import AnswerError, InvalidInputError, UsageError
from edgechat.tasks.batch.report import Entry, RunReport, unit_entry
from edgechat.tasks.batch.text_encoding import UTF8, require_encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgechat.tasks.batch.document import RewritesDocuments, TextUnit
    from edgechat.tasks.batch.input import Document
    from edgechat.tasks.batch.records import Record
    from edgechat.tasks.result import TaskResult

_STRUCTURE = "the translation would change the structure of the document"
_ENCODING = "the encoding of the file cannot write the new text"


@dataclass(slots=True)
class _Rewrite:
    before: str
    unit: TextUnit
    line: int
    done: TaskResult
    new: str | None
    why: str = ""

    @property
    def written(self) -> str:
        return self.unit.rewritten(self.new)


class RewrittenDocument:
    """Collects the new texts of a document's units and writes the document at the end."""

    def __init__(
        self,
        stream: TextIO,
        task: RewritesDocuments,
        document: Document,
        report: RunReport,
        incomplete_flags: frozenset[str],
    ) -> None:
        self._stream, self._task, self._document = stream, task, document
        self._report, self._incomplete_flags = report, incomplete_flags
        self._encoding = document.options.encoding
        self._structure = task.document_structure(document.text, document.form, document.options)
        self._rewrites: list[_Rewrite] = []

    def write(self, record: Record, done: TaskResult) -> None:
        """Take the next unit; it stays unchanged when its record is not ``ok``.

        A text whose structure cannot break is written at once.
        """
        assert record.unit is not None  # noqa: S101 - the records of a document have units
        new = self._task.replacement(done.result) if done.result is not None and done.status == "ok" else None
        rewrite = _Rewrite(record.before, record.unit, record.unit_line, done, new)
        if self._structure is not None:
            self._rewrites.append(rewrite)
            return
        self._keep_unwritable([rewrite])
        self._put(rewrite.before + rewrite.written, self._encoding)
        self._tell(rewrite)

    def finish(self) -> None:
        """Compare the structure, write the document, and report its units.

        Raises:
            AnswerError: the structure differs whatever is left out; nothing is written.
        """
        if self._structure is None:
            self._put(self._document.units.tail, self._encoding)
        else:
            declared = self._declared_utf8()
            if declared is None:
                self._keep_unwritable(self._rewrites)
            self._keep_breaking()
            self._put(*self._declared(self._joined(self._rewrites)))
            for rewrite in self._rewrites:
                self._tell(rewrite)
        for line, kept in self._document.units.kept:
            self._report.add(Entry(line, kept.place, "kept", "kept", (), (kept.reason,), kept.raw, kept.raw))

    def _tell(self, rewrite: _Rewrite) -> None:
        self._report.add(
            unit_entry(
                rewrite.line,
                rewrite.unit.place,
                rewrite.done,
                self._incomplete_flags,
                source=rewrite.unit.text,
                target=rewrite.new,
                why=rewrite.why,
            )
        )

    def _put(self, text: str, encoding: str) -> None:
        # A lone surrogate, which a JSON escape can bring, is no character that UTF-8 can write.
        self._stream.buffer.write(text.encode(encoding, "backslashreplace" if encoding == UTF8 else "strict"))
        self._stream.buffer.flush()

    def _declared(self, text: str) -> tuple[str, str]:
        """The text and the encoding to write it in; where its own declaration does not fit, both become UTF-8."""
        form = self._document.form
        corrected = self._task.with_declared_encoding(text, form, "UTF-8")
        if corrected is None:
            return text, self._encoding
        name = self._task.declared_encoding(text.encode(UTF8, "replace"), form)
        if _can_encode(text, self._encoding) and (text.isascii() or _is_same_encoding(name, self._encoding)):
            return text, self._encoding
        # A PO file without a header declares nothing that could be corrected.
        is_fixed = corrected != text or not _can_encode(text, self._encoding)
        return (corrected, UTF8) if is_fixed else (text, self._encoding)

    def _declared_utf8(self) -> str | None:
        """The original with UTF-8 in its declaration, where it has one."""
        return self._task.with_declared_encoding(self._document.text, self._document.form, "UTF-8")

    def _keep_unwritable(self, rewrites: Iterable[_Rewrite]) -> None:
        for rewrite in rewrites:
            if rewrite.new is not None and not _can_encode(rewrite.written, self._encoding):
                rewrite.new, rewrite.why = None, _ENCODING

    def _keep_breaking(self) -> None:
        """Undo the rewrites that change the structure."""
        if self._is_same(self._rewrites):
            return
        for rewrite in self._breaking([each for each in self._rewrites if each.new is not None]):
            rewrite.new, rewrite.why = None, _STRUCTURE
        if not self._is_same(self._rewrites):
            raise AnswerError(
                "The translated document would not have the structure of the original: nothing was written.",
                hint="See the translations with --format jsonl.",
            )

    def _breaking(self, suspects: Sequence[_Rewrite]) -> list[_Rewrite]:
        """Those that change the structure by themselves, found by halving."""
        if not suspects or self._is_same(suspects):
            return []
        if len(suspects) == 1:
            return list(suspects)
        middle = len(suspects) // 2
        return [*self._breaking(suspects[:middle]), *self._breaking(suspects[middle:])]

    def _is_same(self, applied: Sequence[_Rewrite]) -> bool:
        document = self._document
        try:
            new = self._task.document_structure(self._joined(applied), document.form, document.options)
        except InvalidInputError:
            return False
        return new == self._structure

    def _joined(self, applied: Sequence[_Rewrite]) -> str:
        """The document with only the rewrites in ``applied``."""
        chosen = {id(each) for each in applied}
        parts: list[str] = []
        for each in self._rewrites:
            parts += [each.before, each.written if id(each) in chosen else each.unit.raw]
        return "".join([*parts, self._document.units.tail])


def _is_same_encoding(name: str | None, encoding: str) -> bool:
    try:
        found = require_encoding(name) if name else ""
    except UsageError:
        return False
    # A byte-order mark has given utf-16 its order.
    return bool(found) and found == encoding.removesuffix("-le").removesuffix("-be")


def _can_encode(text: str, encoding: str) -> bool:
    if encoding == UTF8:
        return True
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
