"""A result as text: the answer, where it stands, what was quoted, and what a rule doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from edgechat.tasks.result import TaskResult

_DOUBTS = {
    "number": "the number {token} stands in no cited section",
    "identifier": "{token} stands in no cited section",
    "unit": "{token}: the cited section gives this number in another unit",
    "quote": "a quote that does not stand in its section was left out",
    "no_match": "no section holds the words of the question",
}


def as_text(done: TaskResult) -> str:
    """The answer as a person reads it, cleaned of control characters."""
    if done.result is None:
        return "\n".join(map(clean_line, done.error_lines)) + "\n"
    result = done.result
    if not result["found"]:
        lines = ["The documents do not say."] if done.status == "ok" else list(map(clean_line, done.error_lines))
        if result["nearest"]:
            lines += ["", "Nearest:", *(f"  {place(each)}" for each in result["nearest"])]
        return "\n".join(lines) + "\n"
    lines = [clean(result["answer"]), ""]
    for citation in result["citations"]:
        lines.append(f"  {place(citation)}")
        lines += [
            f"    “{clean_line(quote['text'])}”"
            for quote in result["quotes"]
            if quote["section"] == citation["section"]
        ]
    lines += [f"  ! {_DOUBTS[flag['kind']].format(token=clean_line(flag['token']))}" for flag in result["flags"]]
    return "\n".join(lines) + "\n"


def place(citation: dict[str, Any]) -> str:
    """Document, heading and page of a citation."""
    page = "" if citation["page"] is None else f", page {citation['page']}"
    return f"[{citation['section']}] {clean_line(citation['document'])}: {clean_line(citation['heading'])}{page}"
