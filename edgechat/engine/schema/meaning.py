"""The meaning of a schema: for each place the list of alternative forms that its keywords allow together.

allOf, anyOf, oneOf, $ref, enum and their siblings are merged here, so that the result contains none of them. A schema
that contradicts itself or cannot be decoded is refused with its path.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from edgechat.engine.schema.document import below
from edgechat.engine.schema.form import Array, Form, Number, Object, Place, Text, Values, key, meet
from edgechat.engine.schema.node import own_forms
from edgechat.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from edgechat.engine.schema.document import Document

MAX_ALTERNATIVES = 200
MAX_COMPARISONS = 1_000_000
"""Of forms and values with each other, while one schema is read: some seconds."""
_ANYTHING: tuple[Form, ...] = (Values((None,)), Values((False, True)), Number(), Text(), Array(), Object())


class _StillOpenError(SchemaError):
    """The alternatives of a place are needed while they are being computed."""


class Meaning:
    """The alternatives of every place of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[str, ...], tuple[Form, ...]] = {}
        self._open: list[str] = []
        self.n_compared = 0
        """Comparisons so far; see :data:`MAX_COMPARISONS`."""

    def of(self, place: Place) -> tuple[Form, ...]:
        """The alternatives at a place; empty when no value fits.

        Raises:
            SchemaError: a schema there is invalid, or cannot be decoded.
        """
        if place is None:
            return ()
        if place not in self._known:
            alternatives = _ANYTHING
            for pointer in place:
                alternatives = self._meet_all(alternatives, self._of_one(pointer), pointer)
            self._known[place] = alternatives
        return self._known[place]

    def admits(self, place: Place, value: Any) -> bool:
        """True when a JSON value fits a place."""
        return any(self._fits(form, value) for form in self.of(place))

    def _of_one(self, pointer: str) -> tuple[Form, ...]:
        if (pointer,) in self._known:
            return self._known[pointer,]
        if pointer in self._open:
            raise _StillOpenError("The schema refers to itself without anything between.", path=pointer)
        self._open.append(pointer)
        try:
            found = self._alternatives(pointer)
        finally:
            self._open.pop()
        self._known[pointer,] = found
        return found

    def _alternatives(self, pointer: str) -> tuple[Form, ...]:
        node = self._document.at(pointer)
        if isinstance(node, bool):
            return _ANYTHING if node else ()
        own, values = own_forms(self._document, pointer, node)
        if "$ref" in node and self._document.draft_at(pointer) <= 7:  # in these drafts its siblings are ignored
            return self._of_one(self._document.resolve(node["$ref"], pointer))
        found = self._combined(node, own, pointer)
        if "oneOf" in node:
            found = self._one_of(found, pointer, len(node["oneOf"]))
        if values is not None:
            found = self._chosen(found, values)
        found = tuple(each for each in map(partial(_evaluated, node), found) if not getattr(each, "is_empty", False))
        if not found:
            _impossible(node, pointer)
        return found

    def _combined(self, node: dict[str, Any], own: tuple[Form, ...], pointer: str) -> tuple[Form, ...]:
        """Intersect a schema's own forms with those of $ref, allOf and anyOf, in the order of its keywords.

        Members of an object are decoded in this order.
        """
        found: tuple[Form, ...] = _ANYTHING
        own_keyword = next((keyword for keyword in node if keyword in {"properties", "required"}), None)
        if own_keyword is None:
            found = own
        for keyword, value in node.items():
            if keyword == own_keyword:
                found = self._meet_all(found, own, pointer)
            elif keyword == "$ref":
                found = self._meet_all(found, self._of_one(self._document.resolve(value, pointer)), pointer)
            elif keyword == "allOf":
                for index in range(len(value)):
                    found = self._meet_all(found, self._of_one(below(pointer, keyword, index)), pointer)
            elif keyword == "anyOf":
                branches: list[Form] = []
                for index in range(len(value)):
                    branches += self._of_one(below(pointer, keyword, index))
                    _check_number(len(branches), pointer)
                found = self._meet_all(found, tuple(branches), pointer)
        return found

    def _meet_all(self, first: tuple[Form, ...], second: tuple[Form, ...], pointer: str) -> tuple[Form, ...]:
        if first is _ANYTHING:
            return second
        if second is _ANYTHING:
            return first
        found: list[Form] = []
        for one in first:
            for other in second:
                common = self._meet(one, other)
                if common is not None and common not in found:
                    found.append(common)
                    _check_number(len(found), pointer)
        return tuple(found)

    def _count(self, comparisons: int = 1) -> None:
        self.n_compared += comparisons
        if self.n_compared > MAX_COMPARISONS:
            raise SchemaError(
                "The schema takes too long to read: its alternatives and values come to more than "
                f"{MAX_COMPARISONS} comparisons.",
                hint="Use fewer branches beside long enums.",
            )

    def _meet(self, one: Form, other: Form) -> Form | None:
        self._count()
        if isinstance(one, Values) or isinstance(other, Values):
            if not isinstance(one, Values):
                one, other = other, one
            assert isinstance(one, Values)  # noqa: S101 - for the type checker
            kept = tuple(value for value in one.values if self._fits(other, value))
            return Values(kept) if kept else None
        return meet(one, other)

    def _chosen(self, found: tuple[Form, ...], values: list[Any]) -> tuple[Form, ...]:
        kept: dict[Hashable, Any] = {}
        for value in values:
            if any(self._fits(form, value) for form in found):
                kept.setdefault(key(value), value)
        return (Values(tuple(kept.values())),) if kept else ()

    def _fits(self, form: Form, value: Any) -> bool:
        self._count()
        if isinstance(form, Values):
            return key(value) in form.keys
        if isinstance(form, Number):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return False
            exact = Fraction(Decimal(str(value)))
            point = Number(exact, exact, step=None)
            return meet(form, point) is not None
        if isinstance(form, Text):
            return (
                isinstance(value, str)
                and form.least <= len(value)
                and (form.most is None or len(value) <= form.most)
                and all(re.search(pattern.source, value) for pattern in form.patterns)
            )
        if isinstance(form, Array):
            return (
                isinstance(value, list)
                and form.least <= len(value)
                and (form.most is None or len(value) <= form.most)
                and all(self.admits(form.item(index), each) for index, each in enumerate(value))
            )
        return (
            isinstance(value, dict)
            and form.least <= len(value)
            and (form.most is None or len(value) <= form.most)
            and all(name in value for name in form.required)
            and all(self.admits(form.member(name), each) for name, each in value.items())
        )

    def _one_of(self, base: tuple[Form, ...], pointer: str, count: int) -> tuple[Form, ...]:
        """The branches of a oneOf, narrowed until no value can satisfy two of them."""
        where = below(pointer, "oneOf")
        whole = [self._meet_all(base, self._of_one(below(where, index)), pointer) for index in range(count)]
        narrow: list[list[Form | None]] = [list(branch) for branch in whole]
        for branch in whole:
            _check_number(len(branch) * count, pointer)
        for later in range(count):
            for earlier in range(later):
                for i, one in enumerate(whole[earlier]):
                    for j, other in enumerate(whole[later]):
                        pair = self._parted((one, narrow[earlier][i]), (other, narrow[later][j]))
                        if pair is None:
                            raise SchemaError(
                                f"A value could satisfy both branch {earlier} and branch {later} of oneOf, "
                                "which decoding cannot rule out.",
                                path=where,
                                hint="Use anyOf, or give each branch a required property with its own const.",
                            )
                        narrow[earlier][i], narrow[later][j] = pair
        return tuple(form for branch in narrow for form in branch if form is not None)

    def _parted(
        self, first: tuple[Form, Form | None], second: tuple[Form, Form | None]
    ) -> tuple[Form | None, Form | None] | None:
        """Narrow two forms of different branches until no value satisfies both; None where that is not possible.

        Each argument is a form of the schema and what earlier steps have left of it.
        """
        (one, tight), (other, rest) = first, second
        if one == other:  # every value satisfies both branches
            return None, None
        if (tight is None or self._exclude(tight, other)) and (rest is None or self._exclude(one, rest)):
            return tight, rest
        if not isinstance(tight, Object) or not isinstance(rest, Object):
            return None
        assert isinstance(one, Object)  # noqa: S101 - narrowing keeps the kind
        assert isinstance(other, Object)  # noqa: S101
        # "Exactly one of a and b is required": forbid b in the branch that requires a, and a in the other.
        without = next((name for name in other.required if name not in one.required), None)
        lacking = next((name for name in one.required if name not in other.required), None)
        if without is None or lacking is None:
            return None
        return (
            replace(tight, names={**tight.names, without: None}),
            replace(rest, names={**rest.names, lacking: None}),
        )

    def _exclude(self, one: Form, other: Form, depth: int = 0) -> bool:
        if isinstance(one, Values) or isinstance(other, Values):
            return self._meet(one, other) is None
        if type(one) is not type(other) or meet(one, other) is None:
            return True
        if isinstance(one, Text) and isinstance(other, Text):
            return any(are_disjoint(a.prefix, b.prefix) for a in one.patterns for b in other.patterns)
        if depth > 3:
            return False
        if isinstance(one, Object) and isinstance(other, Object):
            shared = [(one.member(name), other.member(name)) for name in (*one.required, *other.required)]
        elif isinstance(one, Array) and isinstance(other, Array):
            shared = [(one.item(index), other.item(index)) for index in range(max(one.least, other.least))][:100]
        else:
            return False
        return any(self._places_exclude(first, second, depth + 1) for first, second in shared)

    def _places_exclude(self, first: Place, second: Place, depth: int) -> bool:
        try:
            return all(self._exclude(a, b, depth) for a in self.of(first) for b in self.of(second))
        except _StillOpenError:  # a recursive schema: the alternatives are being computed by a caller
            return False


def _check_number(alternatives: int, pointer: str) -> None:
    if alternatives > MAX_ALTERNATIVES:
        raise SchemaError(
            f"The combinations here come to more than {MAX_ALTERNATIVES} alternatives.",
            path=pointer,
            hint="Use fewer branches, or an enum.",
        )


def are_disjoint(first: str, second: str) -> bool:
    """Whether no text begins with both."""
    return bool(first and second) and not first.startswith(second) and not second.startswith(first)


def _evaluated(node: dict[str, Any], form: Form) -> Form:
    """Apply unevaluatedProperties and unevaluatedItems: forbid members and items that no keyword mentions."""
    if isinstance(form, Object) and form.extra == () and node.get("unevaluatedProperties") is False:
        return replace(form, extra=None)
    if isinstance(form, Array) and form.rest == () and node.get("unevaluatedItems") is False:
        return replace(form, rest=None)
    return form


def _impossible(node: dict[str, Any], pointer: str) -> NoReturn:
    for keyword in ("enum", "const", "oneOf", "anyOf", "allOf", "$ref"):
        if keyword in node:
            raise SchemaError(
                f"No value can satisfy {keyword} and the rest of the schema here.",
                path=below(pointer, keyword),
                hint="Check the types and bounds that apply to it.",
            )
    raise SchemaError("No value can satisfy this.", path=pointer, hint="Check its bounds.")
