"""Puts braces around parts that must not change, so that they are protected as placeholders such as ``{name}`` are."""

from __future__ import annotations

import re


class Shield:
    """Hides the parts that match a pattern in braces, and shows them again.

    Args:
        pattern: a regular expression without groups that have names; it matches no brace and no line end.
    """

    def __init__(self, pattern: str) -> None:
        self._bare = re.compile(pattern)
        self._hidden = re.compile(rf"\{{({pattern})\}}")

    def hide(self, text: str) -> str:
        """``text`` with each part in braces."""
        return self._bare.sub(lambda found: "{" + found[0] + "}", text)

    def show(self, text: str) -> str:
        """The inverse of :meth:`hide`."""
        return self._hidden.sub(lambda found: found[1], text)

    def parts(self, text: str) -> list[tuple[str, bool]]:
        """A hidden text in parts; True marks those that were in braces, without their braces."""
        found: list[tuple[str, bool]] = []
        at = 0
        for match in self._hidden.finditer(text):
            found += [(text[at : match.start()], False), (match[1], True)]
            at = match.end()
        return [*found, (text[at:], False)]


PRINTF = r"%(?:[0-9]+\$)?[-+#0,(]*(?:[0-9]+|\*)?(?:\.[0-9]+)?(?:hh|ll|[hlqLzjt])?[@dDiuUxXfFeEgGcCsSpbBhHn]|%%"
"""A conversion of printf as Android and Apple write it. Octal is left out, because ``50%off`` is more frequent."""
