"""Writes the tightened schema for the decoder: the alternatives of every reachable place, with bounds.

Every value that fits it fits the original. It uses a small part of JSON Schema: anyOf without siblings, one type for
each object, no oneOf, allOf or format, and references to ``$defs`` only where a place occurs twice or is recursive.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from edgechat.engine.schema.document import MAX_EXACT
from edgechat.engine.schema.form import Array, Form, Number, Object, Place, Text, Values
from edgechat.engine.schema.meaning import are_disjoint
from edgechat.errors import SchemaError

if TYPE_CHECKING:
    from edgechat.engine.schema.meaning import Meaning

STRING_BOUND = 2000
"""Characters of a string that the schema leaves unbounded."""
ARRAY_BOUND = 64
"""Items of an array, and members of a map, that the schema leaves unbounded."""
NAME_BOUND = 64
"""Characters of a member's name that the schema does not list."""
DECIMALS = 9
"""Decimals of a number without ``multipleOf``; there are no exponents."""
ANY_DEPTH = 4
"""Levels of arrays and maps where the schema allows anything."""
MAX_PLACES = 4000


class Tightener:
    """Writes one tightened schema.

    Raises:
        SchemaError: no value can satisfy the schema, or it cannot be decoded.
    """

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._alternatives: dict[Place, list[Form]] = {}
        self._met: dict[Place, int] = {}
        self._definitions: dict[str, Any] = {}
        self._names: dict[Place, str] = {}
        self.has_controls = False

    def schema(self, root: Place) -> dict[str, Any]:
        """The tightened schema of a place."""
        self._survey(root)
        alive = self._alive()
        if root and root not in alive:
            raise SchemaError(
                "No value can satisfy the schema here, or it could never end.",
                path=self._blame(root, alive),
                hint="Check what is required, and that a recursive schema has a way out.",
            )
        for place, forms in self._alternatives.items():
            self._alternatives[place] = [form for form in forms if self._lives(form, alive)]
        self._met[root] = self._met.get(root, 0) + 1
        body = self._place(root)
        return {**body, "$defs": self._definitions} if self._definitions else body

    def _survey(self, root: Place) -> None:
        queue = [root]
        while queue:
            place = queue.pop()
            if not place or place in self._alternatives:
                continue
            if len(self._alternatives) >= MAX_PLACES:
                raise SchemaError(f"The schema describes more than {MAX_PLACES} places.", path=place[-1])
            forms = list(self._meaning.of(place))
            self._alternatives[place] = forms
            for form in forms:
                for child in _children(form):
                    self._met[child] = self._met.get(child, 0) + 1
                    queue.append(child)

    def _alive(self) -> set[Place]:
        """The places for which some finite value exists: a least fixed point."""
        alive: set[Place] = {()}
        grew = True
        while grew:
            grew = False
            for place in reversed(self._alternatives):
                if place not in alive and any(self._lives(form, alive) for form in self._alternatives[place]):
                    alive.add(place)
                    grew = True
        return alive

    @staticmethod
    def _lives(form: Form, alive: set[Place]) -> bool:
        if isinstance(form, Array):
            needed = [form.item(index) for index in range(min(form.least, len(form.prefix) + 1))]
            return all(place in alive for place in needed)
        if isinstance(form, Object):
            if any(form.member(name) not in alive for name in form.required):
                return False
            named = sum(place in alive for place in form.names.values())
            return not form.is_closed or named + len(set(form.required) - set(form.names)) >= form.least
        return True

    def _blame(self, place: Place, alive: set[Place]) -> str:
        seen: set[Place] = set()
        while place and place not in seen:
            seen.add(place)
            dead = [
                child
                for form in self._alternatives.get(place, [])
                for child in _needed(form)
                if child is not None and child not in alive and child not in seen
            ]
            if not dead:
                return place[-1]
            place = dead[0]
        return place[-1] if place else ""

    def _place(self, place: Place) -> dict[str, Any]:
        if place is None:  # no value is allowed; callers leave such places out
            return {"enum": []}
        if not place:
            return self._anything(ANY_DEPTH)
        if place in self._names:
            return {"$ref": f"#/$defs/{self._names[place]}"}
        forms = self._alternatives[place]
        if self._met[place] < 2 or all(isinstance(form, (Values, Number, Text)) for form in forms):
            return self._either(forms, place[-1])
        name = self._names[place] = str(len(self._names) + 1)
        self._definitions[name] = {}  # keeps the order of definitions
        self._definitions[name] = self._either(forms, place[-1])
        return {"$ref": f"#/$defs/{name}"}

    def _either(self, forms: list[Form], pointer: str) -> dict[str, Any]:
        written = [self._form(form, pointer) for form in forms]
        return written[0] if len(written) == 1 else {"anyOf": written}

    def _form(self, form: Form, pointer: str) -> dict[str, Any]:
        if isinstance(form, Values):
            return self._values(form.values)
        if isinstance(form, Number):
            return _number(form, pointer)
        if isinstance(form, Text):
            return self._text(form)
        if isinstance(form, Array):
            return self._array(form)
        return self._object(form, pointer)

    def _values(self, values: tuple[Any, ...]) -> dict[str, Any]:
        if values == (None,):
            return {"type": "null"}
        if len(values) == 2 and all(isinstance(value, bool) for value in values):
            return {"type": "boolean"}
        self.has_controls = self.has_controls or any(map(_has_control, values))
        return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}

    def _text(self, form: Text) -> dict[str, Any]:
        self.has_controls = self.has_controls or any(pattern.controls for pattern in form.patterns)
        written: dict[str, Any] = {"type": "string"}
        shortest = max([form.least, *(pattern.least for pattern in form.patterns)])
        if form.least:
            written["minLength"] = form.least
        if form.most is not None:
            written["maxLength"] = form.most
        longest = [pattern.most for pattern in form.patterns if pattern.most is not None]
        if longest:
            written["x-longest"] = min(longest)
        elif form.most is None:
            written["maxLength"] = max(STRING_BOUND, shortest)
        if form.patterns:
            written["pattern"] = form.patterns[0].text
        if len(form.patterns) > 1:
            written["allOf"] = [{"type": "string", "pattern": pattern.text} for pattern in form.patterns[1:]]
        return written

    def _array(self, form: Array) -> dict[str, Any]:
        prefix: list[dict[str, Any]] = []
        limit = form.limit
        for place in form.prefix:
            if not self._can(place):
                limit = len(prefix)
                break
            prefix.append(self._place(place))
        if limit is None or limit > len(prefix):
            limit = limit if self._can(form.rest) else len(prefix)
        written: dict[str, Any] = {"type": "array"}
        if limit is None:
            limit = max(ARRAY_BOUND, form.least, len(prefix))
        prefix = prefix[:limit]
        if prefix:
            written["prefixItems"] = prefix
        written["items"] = self._place(form.rest) if limit > len(prefix) else False
        if form.least:
            written["minItems"] = form.least
        written["maxItems"] = limit
        return written

    def _can(self, place: Place) -> bool:
        return place == () or (place is not None and bool(self._alternatives[place]))

    def _object(self, form: Object, pointer: str) -> dict[str, Any]:
        places = dict(form.names)
        places.update((name, form.member(name)) for name in form.required if name not in places)
        named = [name for name, place in places.items() if self._can(place)]
        required = [name for name in named if name in form.required]
        families = self._families(form, places, pointer)
        if len(named) > len(required) and not form.families and (form.least > len(required) or form.most is not None):
            families = {}  # the decoder counts members among the named ones or among the others, not among both
        if families:
            counts = _counts_of_others(form, len(named), len(required), pointer)
        else:
            named, required, counts = _counts_of_named(form, named, required, pointer)
        written: dict[str, Any] = {"type": "object"}
        if named:
            written["properties"] = {name: self._place(places[name]) for name in named}
        if families:
            written["patternProperties"] = families
            known = [pattern.most for pattern, _ in form.families] or [_longest_other(tuple(places))]
            if None not in known:
                written["x-longest-name"] = max(each for each in known if each is not None)
        written["additionalProperties"] = False
        if required:
            written["required"] = required
        return written | counts

    def _families(self, form: Object, places: dict[str, Place], pointer: str) -> dict[str, Any]:
        """The schemas of members that are not named, by the pattern of their names.

        ``additionalProperties`` is never given to the decoder: it takes a listed name that is written with a JSON
        escape for another one, and does not bound the length of names.
        """
        if form.families:
            families = [(pattern, place) for pattern, place in form.families if self._can(place)]
            for index, (one, _) in enumerate(families):
                self.has_controls = self.has_controls or one.controls
                for other, _ in families[:index]:
                    if not are_disjoint(one.prefix, other.prefix):
                        raise SchemaError(
                            f"The patterns {other.source!r} and {one.source!r} may match one name.",
                            path=f"{pointer}/patternProperties",
                            hint="Let each begin with ^ and a different character.",
                        )
            return {pattern.text: self._place(place) for pattern, place in families}
        is_map = bool(form.extra) or (form.extra == () and not form.names and not form.required)
        if not is_map or not self._can(form.extra):
            return {}
        return {_other_names(tuple(places)): self._place(form.extra)}

    def _anything(self, depth: int) -> dict[str, Any]:
        name = f"any{depth}"
        if name not in self._definitions:
            self._definitions[name] = {}
            written = [self._form(form, "") for form in (Values((None,)), Values((False, True)), Number(), Text())]
            if depth:
                inner = self._anything(depth - 1)
                written.append({"type": "array", "items": inner, "maxItems": ARRAY_BOUND})
                written.append(
                    {
                        "type": "object",
                        "patternProperties": {_other_names(()): inner},
                        "additionalProperties": False,
                        "maxProperties": ARRAY_BOUND,
                        "x-longest-name": _longest_other(()),
                    }
                )
            self._definitions[name] = {"anyOf": written}
        return {"$ref": f"#/$defs/{name}"}


def _children(form: Form) -> list[Place]:
    if isinstance(form, Array):
        return [*form.prefix, form.rest]
    if isinstance(form, Object):
        others = [form.member(name) for name in form.required if name not in form.names]
        return [*form.names.values(), *others, *(place for _, place in form.families), form.extra]
    return []


def _needed(form: Form) -> list[Place]:
    if isinstance(form, Array):
        return [form.item(index) for index in range(min(form.least, len(form.prefix) + 1))]
    return [form.member(name) for name in form.required] if isinstance(form, Object) else []


def _counting(keyword: str, pointer: str) -> SchemaError:
    return SchemaError(
        f"{keyword} cannot be enforced while decoding, with these properties.",
        path=f"{pointer}/{keyword}",
        hint="Make the properties required, or use anyOf with one branch for each case.",
    )


def _counts_of_others(form: Object, named: int, required: int, pointer: str) -> dict[str, int]:
    """The minProperties and maxProperties of an object with members beyond the named ones."""
    if form.least > required + 1:
        # Their names may repeat, and a repeated name counts once.
        raise _counting("minProperties", pointer)
    if named > required:
        if form.least > required or form.most is not None:
            raise _counting("minProperties" if form.least > required else "maxProperties", pointer)
        return {}
    most = max(ARRAY_BOUND, required) if form.most is None else form.most
    return {**({"minProperties": form.least} if form.least > required else {}), "maxProperties": most}


def _counts_of_named(
    form: Object, named: list[str], required: list[str], pointer: str
) -> tuple[list[str], list[str], dict[str, int]]:
    """The named members of a closed object, the required ones, and its minProperties and maxProperties."""
    least = form.least if form.least > len(required) else 0
    most = form.most if form.most is not None and form.most < len(named) else None
    if least and least == len(named):
        return named, named, {}
    if most == len(required):
        return required, required, {}
    if least > len(required) + 1 or (most is not None and most != len(required) + 1):
        raise _counting("minProperties" if least else "maxProperties", pointer)
    counts = {"minProperties": least, "maxProperties": most}
    return named, required, {key: value for key, value in counts.items() if value}


def _number(form: Number, pointer: str) -> dict[str, Any]:
    is_integer = form.step is not None and form.step.denominator == 1
    low, above = (form.low, form.above) if form.low is not None and form.low >= -MAX_EXACT else (-MAX_EXACT, False)
    high, under = (form.high, form.under) if form.high is not None and form.high <= MAX_EXACT else (MAX_EXACT, False)
    step = form.step
    if step is not None and (step.numerator >= 2**32 or (step * 10**DECIMALS).numerator >= 2**63):
        raise SchemaError("The multiples asked for together are too large to be decoded.", path=pointer)
    if Number(Fraction(low), Fraction(high), above, under, step).is_empty:
        raise SchemaError("Only numbers beyond ±(2^53 - 1) are left, which JSON does not keep exact.", path=pointer)
    if is_integer:
        assert step is not None  # noqa: S101 - for the type checker
        least, most = math.ceil(low), math.floor(high)
        least += above and least == low
        most -= under and most == high
        plain: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
        return plain if step == 1 else {**plain, "multipleOf": int(step)}
    written: dict[str, Any] = {
        "type": "number",
        "exclusiveMinimum" if above else "minimum": _plain(Fraction(low)),
        "exclusiveMaximum" if under else "maximum": _plain(Fraction(high)),
    }
    if step is not None:
        written["multipleOf"] = _plain(step)
    elif high - low >= Fraction(10, 10**DECIMALS):
        written["multipleOf"] = 10.0**-DECIMALS
    return written


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _has_control(value: Any) -> bool:
    if isinstance(value, str):
        return any(char < " " or char == "\x7f" for char in value if char not in "\t\n\r")
    if isinstance(value, dict):
        return any(map(_has_control, value.values()))
    return isinstance(value, list) and any(map(_has_control, value))


def _other_names(names: tuple[str, ...]) -> str:
    """A pattern for names that are none of ``names``, of 1 to `NAME_BOUND` characters beyond a listed beginning."""
    tree: dict[str, Any] = {}
    for name in names:
        branch = tree
        for char in name:
            branch = branch.setdefault(char, {})
        branch[""] = {}
    return f"^{_unlisted(tree, is_root=True)}$"


def _longest_other(names: tuple[str, ...]) -> int:
    return NAME_BOUND + max(map(len, names), default=0)


def _unlisted(tree: dict[str, Any], *, is_root: bool = False) -> str:
    listed = [char for char in tree if char]
    shown = {char: f"\\x{{{ord(char):x}}}" for char in listed}
    # No control characters: the decoder confuses their escapes with \" where a set excludes that character.
    options = [f"[^\\x00-\\x1f{''.join(shown.values())}][^\\x00-\\x1f]{{0,{NAME_BOUND - 1}}}"]
    options += [shown[char] + _unlisted(tree[char]) for char in listed]
    end = "" if is_root or "" in tree else "?"
    return f"(?:{'|'.join(options)}){end}"
