"""Splits ICU messages (``{n, plural, one {# file} other {# files}}``) into syntax and the texts of their branches.

Only complete arguments of the kinds plural, select and selectordinal are split; a simple ``{name}`` is a placeholder of
the sentence around it. The parts, joined, are the text again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ARGUMENT = re.compile(r"\{\s*[\w.-]+\s*,\s*(?:plural|select|selectordinal)\s*,")
_BRANCH = re.compile(r"\s*(?:offset:\s*[0-9]+\s*)?(?:=[0-9]+|[\w-]+)\s*\{")
_END = re.compile(r"\s*\}")


@dataclass(frozen=True, slots=True)
class MessagePart:
    """Text to translate, or syntax between two texts."""

    text: str
    is_syntax: bool


def message_parts(text: str) -> list[MessagePart]:
    """The parts of ``text`` in order; one part without syntax when it is no ICU message."""
    found: list[MessagePart] = []
    at = 0
    for argument in _ARGUMENT.finditer(text):
        if argument.start() < at:
            continue  # inside the argument before
        branches = _branches(text, argument)
        if branches:
            _add(found, text[at : argument.start()], is_syntax=False)
            at = argument.start()
            for start, end in branches:
                _add(found, text[at:start], is_syntax=True)
                for part in message_parts(text[start:end]):
                    _add(found, part.text, is_syntax=part.is_syntax)
                at = end
            close = _END.match(text, at + 1)
            end_of_argument = close.end() if close else at + 1
            _add(found, text[at:end_of_argument], is_syntax=True)
            at = end_of_argument
    _add(found, text[at:], is_syntax=False)
    return found


def _branches(text: str, argument: re.Match[str]) -> list[tuple[int, int]]:
    """The spans of the texts of an argument's branches; none when the argument is not complete."""
    found: list[tuple[int, int]] = []
    at = argument.end()
    while branch := _BRANCH.match(text, at):
        end = _closing(text, branch.end())
        if end < 0:
            return []
        found.append((branch.end(), end))
        at = end + 1
    return found if _END.match(text, at) else []


def _closing(text: str, start: int) -> int:
    """Index of the brace that closes the one before ``start``; -1 when there is none."""
    depth, is_quoted = 1, False
    for at in range(start, len(text)):
        sign = text[at]
        if sign == "'" and (is_quoted or text[at + 1 : at + 2] in {"{", "}"}):
            is_quoted = not is_quoted
        elif not is_quoted and sign in "{}":
            depth += 1 if sign == "{" else -1
            if not depth:
                return at
    return -1


def _add(found: list[MessagePart], text: str, *, is_syntax: bool) -> None:
    if not text:
        return
    if found and found[-1].is_syntax == is_syntax:
        found[-1] = MessagePart(found[-1].text + text, is_syntax)
    else:
        found.append(MessagePart(text, is_syntax))
