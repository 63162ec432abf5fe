"""Chooses the format of a run's input and output from the options and the file names. Pure functions."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from edgechat.errors import UsageError
from edgechat.tasks.batch.document import RewritesDocuments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.contract import Task

RECORD_FORMS = ("json", "jsonl", "csv")
MANY = ("jsonl", "csv")
"""Record formats that hold any number of records."""

JSON_STRINGS = "json-strings"
"""A JSON file of texts under keys, as programs keep their messages; ``json`` is a record or a list of records."""

_BY_SUFFIX = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "text", ".text": "text",
    ".md": "md", ".markdown": "md", ".srt": "srt", ".vtt": "vtt", ".po": "po", ".pot": "po", ".xlf": "xliff",
    ".xliff": "xliff", ".html": "html", ".htm": "html", ".properties": "properties", ".arb": JSON_STRINGS,
    ".xml": "android", ".strings": "strings",
}  # fmt: skip


def takes_text(task: Task[Any, Any]) -> bool:
    """True when a plain text file can be one record of this task."""
    return "text" in task.input_model.model_fields


def input_form(task: Task[Any, Any], name: str | None, option: str | None) -> str:
    """The format of an input.

    Raises:
        UsageError: this task does not read that format, or its name tells no format that edgechat knows. Such a file is
            never taken as plain text: its keys and its layout would be lost.
    """
    documents: Sequence[str] = task.document_forms if isinstance(task, RewritesDocuments) else ()
    known = list(dict.fromkeys((*RECORD_FORMS, *(("text",) if takes_text(task) else ()), *documents)))
    found = option or (_BY_SUFFIX.get(PurePath(name).suffix.lower()) if name else None)
    if found is None and name and takes_text(task) and (kind := _unknown_kind(name)):
        suffixes = sorted(suffix for suffix, form in _BY_SUFFIX.items() if form in known)
        raise UsageError(
            f"Task {task.name} does not read {kind} files ({name}).",
            hint=f"It reads {' '.join(suffixes)}. As plain text, each line by itself: --from text",
        )
    if found is None:
        found = "text" if takes_text(task) else "jsonl"
    if found not in known:
        raise UsageError(
            f"Task {task.name} does not read {found}{f' ({name})' if name else ''}.",
            hint=f"It reads {', '.join(known)}; say which with --from.",
        )
    return found


def _unknown_kind(name: str) -> str:
    """What follows the last dot of a file's name, or the name of a hidden file; empty for a name without a dot."""
    path = PurePath(name)
    return path.suffix or (path.name if path.name.startswith(".") else "")


def output_format(task: Task[Any, Any], form: str, *, option: str | None, out: str | None, is_document: bool) -> str:
    """The format of the output, from ``--format``, else the output's name, else the input's format.

    Raises:
        UsageError: this task cannot write that format.
    """
    found = option or (_BY_SUFFIX.get(PurePath(out).suffix.lower()) if out else None)
    if found is None or (is_document and option is None and (form, found) == (JSON_STRINGS, "json")):
        found = form if is_document else "jsonl" if form in MANY else "json"
    if found in RECORD_FORMS or (is_document and found == form):
        return found
    # A document is written back in its own format only; it is never converted into another.
    if found in task.formats and not is_document:
        return found
    allowed = list(dict.fromkeys((*RECORD_FORMS, *((form,) if is_document else task.formats))))
    raise UsageError(
        f"Task {task.name} cannot write {found}{' from ' + form if is_document else ''}.",
        hint=f"It can write {', '.join(allowed)}.",
    )
