"""Forms: sets of values of one JSON type, and the intersection of two of them.

A *place* is the tuple of JSON Pointers of all schemas that apply to one value: ``()`` when any value is allowed, None
when none is. Forms refer to their items and members by places, so that they can be recursive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from edgechat.engine.schema.pattern import Pattern

Place = tuple[str, ...] | None


@dataclass(frozen=True)
class Values:
    """Exactly these JSON values."""

    values: tuple[Any, ...]

    @cached_property
    def keys(self) -> frozenset[Hashable]:
        """The :func:`key` of each value: an enum may have thousands, too many to compare in pairs."""
        return frozenset(map(key, self.values))


@dataclass(frozen=True)
class Number:
    """A number: exact bounds, and the ``step`` that it must be a multiple of."""

    low: Fraction | None = None
    high: Fraction | None = None
    above: bool = False
    """Whether ``low`` itself is excluded."""
    under: bool = False
    """Whether ``high`` itself is excluded."""
    step: Fraction | None = None

    @property
    def is_empty(self) -> bool:
        """True when no number fits."""
        if self.low is None or self.high is None:
            return False
        if self.step is None:
            return self.low > self.high or (self.low == self.high and (self.above or self.under))
        first = math.ceil(self.low / self.step) * self.step
        if first == self.low and self.above:
            first += self.step
        return first > self.high or (first == self.high and self.under)


@dataclass(frozen=True)
class Text:
    """A string; lengths in characters."""

    least: int = 0
    most: int | None = None
    patterns: tuple[Pattern, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when no text has the allowed length and matches the patterns; False may be wrong."""
        longest = [each for each in (self.most, *(pattern.most for pattern in self.patterns)) if each is not None]
        shortest = max([self.least, *(pattern.least for pattern in self.patterns)])
        return bool(longest) and min(longest) < shortest


@dataclass(frozen=True)
class Array:
    """An array: the places of its first items, and the place of all others."""

    prefix: tuple[Place, ...] = ()
    rest: Place = ()
    least: int = 0
    most: int | None = None

    def item(self, index: int) -> Place:
        """The place of one item."""
        return self.prefix[index] if index < len(self.prefix) else self.rest

    @property
    def limit(self) -> int | None:
        """The most items there can be, or None."""
        limit = self.most
        for index, place in enumerate((*self.prefix, self.rest)):
            if place is None:
                limit = index if limit is None else min(limit, index)
                break
        return limit

    @property
    def is_empty(self) -> bool:
        """True when more items are required than allowed."""
        return self.limit is not None and self.limit < self.least


@dataclass(frozen=True)
class Object:
    """An object: the places of named members, of members whose names match a pattern, and of all others."""

    names: dict[str, Place] = field(default_factory=dict)
    families: tuple[tuple[Pattern, Place], ...] = ()
    extra: Place = ()
    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None

    def member(self, name: str) -> Place:
        """The place of one member."""
        import re  # noqa: PLC0415 - only where there are patterns

        if name in self.names:
            return self.names[name]
        found = [place for pattern, place in self.families if re.search(pattern.source, name)]
        place: Place = () if found else self.extra
        for each in found:
            place = both(place, each)
        return place

    @property
    def is_closed(self) -> bool:
        """Whether the tightened object has only the members in ``names``."""
        return not self.families and (self.extra is None or (self.extra == () and bool(self.names)))

    @property
    def is_empty(self) -> bool:
        """True when a required member is forbidden, or the number of members cannot be allowed."""
        return (
            any(self.member(name) is None for name in self.required)
            or (self.most is not None and max(self.least, len(self.required)) > self.most)
            or (
                self.extra is None
                and not self.families
                and self.least > sum(p is not None for p in self.names.values())
            )
        )


Form = Values | Number | Text | Array | Object


def both(first: Place, second: Place) -> Place:
    """The place where the schemas of both places apply."""
    if first is None or second is None:
        return None
    return first + tuple(pointer for pointer in second if pointer not in first)


def meet(first: Form, second: Form) -> Form | None:
    """The intersection of two forms of one type, neither of them `Values`; None when it is empty."""
    common: Form | None = None
    if isinstance(first, Number) and isinstance(second, Number):
        common = _meet_numbers(first, second)
    elif isinstance(first, Text) and isinstance(second, Text):
        patterns = first.patterns + tuple(each for each in second.patterns if each not in first.patterns)
        common = Text(max(first.least, second.least), _smaller(first.most, second.most), patterns)
    elif isinstance(first, Array) and isinstance(second, Array):
        length = max(len(first.prefix), len(second.prefix))
        common = Array(
            tuple(both(first.item(index), second.item(index)) for index in range(length)),
            both(first.rest, second.rest),
            max(first.least, second.least),
            _smaller(first.most, second.most),
        )
    elif isinstance(first, Object) and isinstance(second, Object):
        common = _meet_objects(first, second)
    return None if common is None or getattr(common, "is_empty", False) else common


def _meet_numbers(first: Number, second: Number) -> Number:
    low, above = max(
        ((each.low, each.above) for each in (first, second) if each.low is not None), default=(None, False)
    )
    high, within = min(
        ((each.high, not each.under) for each in (first, second) if each.high is not None), default=(None, True)
    )
    step = first.step or second.step
    if first.step and second.step:
        step = Fraction(
            math.lcm(first.step.numerator, second.step.numerator),
            math.gcd(first.step.denominator, second.step.denominator),
        )
    return Number(low, high, above, not within, step)


def _meet_objects(first: Object, second: Object) -> Object:
    names = {name: both(place, second.member(name)) for name, place in first.names.items()}
    for name, place in second.names.items():
        names.setdefault(name, both(first.member(name), place))
    families: dict[str, tuple[Pattern, Place]] = {}
    for one, other in ((first, second), (second, first)):
        theirs = {pattern.source: place for pattern, place in other.families}
        for pattern, place in one.families:
            families.setdefault(pattern.source, (pattern, both(place, theirs.get(pattern.source, other.extra))))
    return Object(
        names,
        tuple(families.values()),
        both(first.extra, second.extra),
        first.required + tuple(name for name in second.required if name not in first.required),
        max(first.least, second.least),
        _smaller(first.most, second.most),
    )


def _smaller(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else min(first, second)


def key(value: Any) -> Hashable:
    """A key that two JSON values share exactly when they are equal: 1 is 1.0 but not true."""
    if isinstance(value, list):
        return ("array", *map(key, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, key(each)) for name, each in value.items()))
    return ("number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value), value)
