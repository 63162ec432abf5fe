"""Regular expressions of ``pattern``: which are supported, how long their matches are, and how the decoder spells them.

Only syntax that means the same in ECMA-262 (the syntax of JSON Schema), in Python's ``re`` (used by the final
validation) and in the decoder is accepted; everything else is refused. Nothing here matches text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

MAX_CHARACTERS = 2000
MAX_DEPTH = 40
MAX_REPEAT = 10_000

# Beyond ASCII the meaning of a class differs: `\d` is [0-9] in ECMA-262 and every decimal digit in Python. The narrow
# spelling is a subset of both meanings; the wide one (for the inside of [^...]) is a superset of both.
_NARROW = {
    "d": "[0-9]",
    "D": "[^\\p{Nd}]",
    "w": "[0-9A-Za-z_]",
    "W": "[^\\p{L}\\p{N}_]",
    "s": "[\\t\\n\\r \\x{a0}\\x{3000}]",
    "S": "[^\\s\\x1c-\\x1f\\x{feff}]",
}
_WIDE = {
    "d": "[\\p{Nd}]",
    "D": "[^0-9]",
    "w": "[\\p{L}\\p{N}_]",
    "W": "[^0-9A-Za-z_]",
    "s": "[\\s\\x1c-\\x1f\\x{feff}]",
    "S": "[^\\t\\n\\r \\x{a0}\\x{3000}]",
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_META = frozenset("\\.+*?()|[]{}^$/")
_CLASS_META = frozenset("\\]^-[&~/")
_AWKWARD = frozenset(map(chr, (*range(9), 11, *range(14, 32))))
"""Control characters that JSON spells with a four-digit escape (and the vertical tab)."""
_SAFE = r"[^\x00-\x08\x0b\x0e-\x1f]"


class PatternError(ValueError):
    """A pattern is refused; the message says why."""


@dataclass(frozen=True)
class Pattern:
    """A supported pattern.

    Attributes:
        source: as the schema writes it, for Python's ``re.search``.
        text: the same strings, or fewer, in the decoder's syntax.
        least: characters of the shortest match of the whole string.
        most: characters of the longest, or None when there is no limit.
        prefix: the text that every match begins with; ``""`` when it is not known.
        controls: the pattern names control characters other than tab and line breaks.
    """

    source: str
    text: str
    least: int
    most: int | None
    prefix: str
    controls: bool


@dataclass(frozen=True)
class _Part:
    text: str
    least: int = 0
    most: int | None = 0
    lead: str = ""
    is_literal: bool = False
    starts: bool = False
    ends: bool = False
    always_starts: bool = False
    always_ends: bool = False


def read(source: str) -> Pattern:
    """Read a pattern.

    Raises:
        PatternError: it is malformed, ambiguous between the three syntaxes, or cannot be decoded.
    """
    if len(source) > MAX_CHARACTERS:
        raise PatternError(f"is longer than {MAX_CHARACTERS} characters")
    reader = _Reader(source)
    part = reader.choice(0)
    if reader.at < len(source):
        reader.fail("has an unmatched )")
    whole = part.always_starts and part.always_ends
    prefix = part.lead if part.always_starts else ""
    return Pattern(source, part.text, part.least, part.most if whole else None, prefix, reader.controls)


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.controls = False

    def fail(self, why: str) -> NoReturn:
        raise PatternError(f"{why} (at character {self.at})")

    def _peek(self) -> str:
        return self.source[self.at : self.at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            self.fail("ends too early")
        self.at += 1
        return char

    def choice(self, depth: int) -> _Part:
        if depth > MAX_DEPTH:
            self.fail(f"nests deeper than {MAX_DEPTH} groups")
        options = [self._sequence(depth)]
        while self._peek() == "|":
            self.at += 1
            options.append(self._sequence(depth))
        if len(options) == 1:
            return options[0]
        longest = [part.most for part in options]
        return _Part(
            "|".join(part.text for part in options),
            min(part.least for part in options),
            None if None in longest else max(most for most in longest if most is not None),
            starts=any(part.starts for part in options),
            ends=any(part.ends for part in options),
            always_starts=all(part.always_starts for part in options),
            always_ends=all(part.always_ends for part in options),
        )

    def _sequence(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while (char := self._peek()) and char not in "|)":
            part = self._quantified(self._atom(depth))
            if parts and part.starts:
                self.fail("has ^ where something stands before it, which cannot be decoded")
            if parts and parts[-1].ends:
                self.fail("has $ where something stands behind it, which cannot be decoded")
            parts.append(part)
        if not parts:
            return _Part("")
        lead = ""
        for part in parts:
            lead += part.lead
            if not part.is_literal:
                break
        most = [part.most for part in parts]
        return _Part(
            "".join(part.text for part in parts),
            sum(part.least for part in parts),
            None if None in most else sum(each for each in most if each is not None),
            lead,
            all(part.is_literal for part in parts),
            parts[0].starts,
            parts[-1].ends,
            parts[0].always_starts,
            parts[-1].always_ends,
        )

    def _atom(self, depth: int) -> _Part:
        char = self._next()
        if char == "^":
            return _Part("^", is_literal=True, starts=True, always_starts=True)
        if char == "$":
            return _Part("$", is_literal=True, ends=True, always_ends=True)
        if char == "(":
            return self._group(depth)
        if char == "[":
            return _Part(self._set(), 1, 1)
        if char == ".":
            return _Part(".", 1, 1)
        if char == "\\":
            escape = self._escape()
            return _Part(_NARROW[escape[1]], 1, 1) if len(escape) == 2 else self._literal(escape)
        if char in "*+?":
            self.fail(f"has a {char} that repeats nothing")
        if char in "{}]":
            self.fail(f"has a bare {char}; write \\{char}")
        return self._literal(char)

    def _literal(self, char: str) -> _Part:
        self.controls = self.controls or char in _AWKWARD or char == "\x7f"
        return _Part(_spelled(char, _META), 1, 1, char, is_literal=True)

    def _group(self, depth: int) -> _Part:
        if self._peek() == "?":
            opener = self.source[self.at : self.at + 3]
            if opener.startswith("?:"):
                self.at += 2
            elif opener.startswith(("?=", "?!")) or opener in {"?<=", "?<!"}:
                self.fail("looks around, which cannot be decoded")
            else:
                self.fail("has a group that JSON Schema or the final check does not know; use (...) or (?:...)")
        inner = self.choice(depth + 1)
        if self._peek() != ")":
            self.fail("has an unclosed group")
        self.at += 1
        return _Part(
            f"(?:{inner.text})",
            inner.least,
            inner.most,
            inner.lead,
            inner.is_literal,
            inner.starts,
            inner.ends,
            inner.always_starts,
            inner.always_ends,
        )

    def _quantified(self, part: _Part) -> _Part:
        bounds = self._bounds()
        if bounds is None:
            return part
        if part.starts or part.ends:
            self.fail("repeats ^ or $")
        low, high = bounds
        if self._peek() == "?":  # lazy or greedy is the same where the whole string must match
            self.at += 1
        if self._peek() and self._peek() in "*+?{":
            self.fail("repeats a repetition")
        shown = f"{{{low},{'' if high is None else high}}}"
        most = 0 if part.most == 0 else None if high is None or part.most is None else part.most * high
        atom = part.text if part.text.startswith("(?:") or part.least == part.most == 1 else f"(?:{part.text})"
        return _Part(f"{atom}{shown}", part.least * low, most, part.lead if low else "")

    def _bounds(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            return simple[self._next()]
        if self._peek() != "{":
            return None
        end = self.source.find("}", self.at)
        low, comma, high = self.source[self.at + 1 : end].partition(",")
        digits = frozenset("0123456789")
        if end < 0 or not low or not digits.issuperset(low + high) or len(low) > 5 or len(high) > 5:
            self.fail("has a { that is no repetition; write \\{, or {2}, {2,} or {2,5}")
        self.at = end + 1
        least = int(low)
        most = int(high) if high else None if comma else least
        if least > MAX_REPEAT or (most is not None and (most > MAX_REPEAT or most < least)):
            self.fail(f"repeats from {low} to {high or low} times; at most {MAX_REPEAT} can be decoded")
        return least, most

    def _escape(self) -> str:
        r"""Read the rest of an escape: a class such as ``\d`` (two characters), or the literal character (one)."""
        char = self._next()
        if char in _NARROW:
            return "\\" + char
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "xu":
            width = 2 if char == "x" else 4
            digits = self.source[self.at : self.at + width]
            if len(digits) < width or not frozenset("0123456789abcdefABCDEF").issuperset(digits):
                self.fail(f"has \\{char} without {width} hexadecimal digits")
            self.at += width
            code = int(digits, 16)
            if 0xD800 <= code < 0xE000:
                self.fail("names half of a surrogate pair; write the character itself")
            return chr(code)
        if char in "bB":
            self.fail(f"uses \\{char}, a word boundary, which cannot be decoded")
        if char in "123456789k":
            self.fail("refers back to a group, which cannot be decoded")
        if char in "pP":
            self.fail(f"uses \\{char}, which the final check does not know; write the characters out")
        if char.isascii() and char.isalnum():
            self.fail(f"has the unknown escape \\{char}")
        return char

    def _set(self) -> str:
        negated = self._peek() == "^"
        self.at += negated
        if self._peek() == "]":
            self.fail("has an empty [] or a bare ] in it; write \\]")
        items: list[str] = []
        members: list[tuple[str, str]] = []
        while (char := self._next()) != "]":
            low = self._member(char)
            if len(low) == 1 and self._peek() == "-" and self.source[self.at + 1 : self.at + 2] not in {"]", ""}:
                self.at += 1
                high = self._member(self._next())
                if len(high) != 1 or high < low:
                    self.fail("has a range that runs backwards or ends in a class")
                items.append(f"{_spelled(low, _CLASS_META)}-{_spelled(high, _CLASS_META)}")
                members.append((low, high))
            elif len(low) == 1:
                items.append(_spelled(low, _CLASS_META))
                members.append((low, low))
            else:
                if self._peek() == "-" and self.source[self.at + 1 : self.at + 2] != "]":
                    self.fail("has a range that begins with a class; write \\-")
                items.append((_WIDE if negated else _NARROW)[low[1]])
                members.append((low, low))
        text = f"[{'^' * negated}{''.join(items)}]"

        def holds(char: str) -> bool:
            return negated != any(_within(char, low, high) for low, high in members)

        # The decoder confuses the four-digit escapes of such a set with \" and \\: remove those characters from it.
        if not (holds('"') and holds("\\")) and any(map(holds, _AWKWARD)):
            if not negated:
                self.controls = True
            return f"[{text}&&{_SAFE}]"
        return text

    def _member(self, char: str) -> str:
        if char == "[" or (char in "&~|-" and self._peek() == char):
            self.fail(f"has {char} in [...] where readers disagree; write \\{char}")
        return self._escape() if char == "\\" else char


def _within(char: str, low: str, high: str) -> bool:
    if len(low) == 1:
        return low <= char <= high
    inside = {"d": char.isdigit(), "w": char.isalnum() or char == "_", "s": char in "\t\n\v\f\r "}[low[1].lower()]
    return inside != low[1].isupper()


def _spelled(char: str, meta: frozenset[str]) -> str:
    if char in meta:
        return "\\" + char
    return f"\\x{ord(char):02x}" if ord(char) < 32 or ord(char) == 127 else char
