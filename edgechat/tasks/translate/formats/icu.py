"""ICU messages such as ``{count, plural, one {# file} other {# files}}`` in the values of other formats.

The texts of the branches are units; argument names, keywords and selectors are fixed text. A message that has words
around its plural cannot be translated branch by branch, so it stays and is reported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.tasks.batch.document import KeptText, Piece, TextUnit
from edgechat.tasks.translate.formats.shield import Shield

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_COMPLEX = re.compile(r"\{\s*[\w.]+\s*,\s*(?:plural|select|selectordinal)\s*,\s*(?:offset:\s*\d+\s*)?")
_SELECTOR = re.compile(r"\s*(?:=\d+|[\w.-]+)\s*\{")
_SIMPLE = re.compile(r"\{[^{}]*\}")
_CLOSE = re.compile(r"\s*\}")
_NUMBER = Shield("#")
_CHOICE = re.compile(r"\{\s*\w+\s*,\s*choice\s*,")
_OLD = "a message with a choice format, whose texts stand between its numbers; use plural instead"
_MIXED = "an ICU message with words outside its plural or select; put the whole sentence into each branch"
_UNREADABLE = "an ICU message whose braces or quotes cannot be read"


class _UnclearError(ValueError):
    """The message cannot be cut; the argument says why."""


def message_pieces(
    tokens: Iterable[tuple[str, str]], spell: Callable[[str], str], place: str = ""
) -> list[Piece] | None:
    """The pieces of a value that is an ICU message with branches; None for every other value.

    Args:
        tokens: the value in parts, each as it stands in the file and as it is read.
        spell: spells a new text as it stands in the file.
        place: the name of the value, for messages.
    """
    pairs = list(tokens)
    value = "".join(read for _, read in pairs)
    if _CHOICE.search(value):
        return [KeptText("".join(spelled for spelled, _ in pairs), _OLD, place)]
    if not _COMPLEX.search(value):
        return None
    # Offset in the file of each character of the value, and of its end.
    offsets: list[int] = []
    raw = ""
    for spelled, read in pairs:
        offsets += [len(raw)] * len(read)
        raw += spelled
    offsets.append(len(raw))
    try:
        spans = _branches(value)
    except _UnclearError as error:
        return [KeptText(raw, str(error), place)]
    is_doubled = "''" in value
    found: list[Piece] = []
    at = 0
    for start, end in spans:
        text = value[start:end]
        core = text.strip()
        if not any(sign.isalpha() for sign in _SIMPLE.sub("", core)):
            continue
        first = offsets[start + text.index(core)]
        last = offsets[start + text.index(core) + len(core)]
        found.append(raw[at:first])
        shown = _NUMBER.hide(core.replace("''", "'"))
        found.append(TextUnit(shown, raw[first:last], _Writer(spell, is_doubled=is_doubled), place))
        at = last
    return [*found, raw[at:]]


class _Writer:
    """Spells the text of a branch."""

    def __init__(self, spell: Callable[[str], str], *, is_doubled: bool) -> None:
        self._spell, self._is_doubled = spell, is_doubled

    def __call__(self, text: str) -> str:
        # A single apostrophe before a brace would quote it.
        quoted = text.replace("'", "''") if self._is_doubled else re.sub(r"'(?=[{}#'])", "''", text)
        return self._spell(_NUMBER.show(quoted))


def _branches(value: str) -> list[tuple[int, int]]:
    if re.search(r"'[{}#|]", value):
        raise _UnclearError(_UNREADABLE)
    spans, at = _message(value, 0, is_nested=False)
    if at != len(value):
        raise _UnclearError(_UNREADABLE)
    return spans


def _message(value: str, at: int, *, is_nested: bool) -> tuple[list[tuple[int, int]], int]:
    """The texts of a message from ``at`` to its closing brace, and the position of that brace or of the end."""
    begin = at
    spans: list[tuple[int, int]] = []
    outside = ""
    has_branches = False
    while at < len(value) and not (is_nested and value[at] == "}"):
        if start := _COMPLEX.match(value, at):
            inner, at = _choice(value, start.end())
            spans += inner
            has_branches = True
        elif value[at] == "{":
            simple = _SIMPLE.match(value, at)
            if simple is None:
                raise _UnclearError(_UNREADABLE)
            outside += "{}"
            at = simple.end()
        elif value[at] == "}":
            raise _UnclearError(_UNREADABLE)
        else:
            outside += value[at]
            at += 1
    if has_branches and outside.strip():
        raise _UnclearError(_MIXED)
    return (spans if has_branches else [(begin, at)]), at


def _choice(value: str, at: int) -> tuple[list[tuple[int, int]], int]:
    """The texts of all branches that begin at ``at``, and the position after the closing brace."""
    spans: list[tuple[int, int]] = []
    while (selector := _SELECTOR.match(value, at)) is not None:
        inner, at = _message(value, selector.end(), is_nested=True)
        if at >= len(value):
            raise _UnclearError(_UNREADABLE)
        spans += inner
        at += 1
    close = _CLOSE.match(value, at)
    if close is None or not spans:
        raise _UnclearError(_UNREADABLE)
    return spans, close.end()
