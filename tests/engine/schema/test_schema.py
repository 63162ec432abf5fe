"""Schemas of every kind: refused by path, or tightened so that whatever the decoder lets through is valid."""

import copy
import datetime
import ipaddress
import json
import random
import re
import uuid
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import pytest

from edgechat.engine.schema import ANY, keywords, max_json_chars, parse, prepare
from edgechat.engine.schema.document import Document
from edgechat.engine.schema.formats import FORMATS, INTEGER_FORMATS
from edgechat.engine.schema.meaning import Meaning
from edgechat.engine.schema.validity import violations
from edgechat.errors import SchemaError
from tests.engine.schema.walks import accepts, compiled, walk

WALKS = 6
HERE = Path(__file__).parent / "schemas"
ACCEPTED: dict[str, Any] = {
    f"{file.stem}: {name}": schema
    for file in sorted(HERE.glob("*.json"))
    if file.stem != "refused"
    for name, schema in json.loads(file.read_text(encoding="utf-8")).items()
}
REFUSED: list[Any] = json.loads((HERE / "refused.json").read_text(encoding="utf-8"))

# jsonschema checks few formats without further packages, so the standard library is the judge here.
FORMAT_CHECKS = jsonschema.FormatChecker(formats=())


def _check(name: str, *errors: type[Exception]):
    return FORMAT_CHECKS.checks(name, raises=errors or (ValueError,))


@_check("date-time")
def _date_time(text):
    return not isinstance(text, str) or datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).tzinfo is not None


@_check("date")
def _date(text):
    return not isinstance(text, str) or bool(datetime.date.fromisoformat(text))


@_check("time")
def _time(text):
    if not isinstance(text, str):
        return True
    return datetime.datetime.fromisoformat(f"2024-01-01T{text.replace('Z', '+00:00')}").tzinfo is not None


@_check("duration")
def _duration(text):
    clock = r"T(?=\d)(\d+H)?(\d+M)?(\d+S)?"
    return not isinstance(text, str) or bool(
        re.fullmatch(rf"P(?=.)((?=\d)(\d+Y)?(\d+M)?(\d+D)?({clock})?|{clock}|\d+W)", text)
    )


@_check("email")
@_check("idn-email")
def _email(text):
    if not isinstance(text, str):
        return True
    local, _, host = text.rpartition("@")
    return bool(local) and len(local) <= 64 and "." in host and ".." not in text and _hostname(host)


@_check("hostname")
@_check("idn-hostname")
def _hostname(text):
    labels = text.split(".") if isinstance(text, str) else ["a"]
    return len(".".join(labels)) <= 253 and all(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)", each) for each in labels)


@_check("ipv4")
def _ipv4(text):
    return not isinstance(text, str) or bool(ipaddress.IPv4Address(text))


@_check("ipv6")
def _ipv6(text):
    return not isinstance(text, str) or ipaddress.IPv6Address(text) is not None


@_check("uuid")
def _uuid(text):
    return not isinstance(text, str) or str(uuid.UUID(text)) == text.lower()


@_check("uri")
@_check("uri-reference")
@_check("iri")
@_check("iri-reference")
def _uri(text):
    return not isinstance(text, str) or bool(
        re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*", text)
    )


@_check("json-pointer")
def _json_pointer(text):
    return not isinstance(text, str) or bool(re.fullmatch(r"(/([^~/]|~[01])*)*", text))


@_check("byte")
def _byte(text):
    import base64

    return not isinstance(text, str) or base64.b64decode(text, validate=True) is not None


def exact_multiples(_, step, value, __):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (Fraction(Decimal(str(value))) / Fraction(Decimal(str(step)))).denominator != 1:
        yield jsonschema.ValidationError(f"{value} is no multiple of {step}")


def faults(value: Any, schema: Any) -> list[str]:
    """What the independent validator says, in the schema's own draft and with formats."""
    dialect = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    dialect.check_schema(schema)
    exact: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        dialect, {"multipleOf": exact_multiples}
    )
    return [error.message for error in exact(schema, format_checker=FORMAT_CHECKS).iter_errors(value)]


def within_integer_formats(value: Any, schema: Any) -> bool:
    low, high = INTEGER_FORMATS.get(schema.get("format", ""), (value, value)) if isinstance(schema, dict) else (0, 0)
    return not isinstance(schema, dict) or "format" not in schema or not isinstance(value, int) or low <= value <= high


@pytest.mark.parametrize("name", ACCEPTED)
def test_whatever_is_decoded_is_valid_under_the_schema_as_it_was_written(name):
    schema = ACCEPTED[name]
    before = copy.deepcopy(schema)
    tight = prepare(schema)
    assert schema == before, "the caller's schema was changed"
    matcher = compiled(tight)
    most = max_json_chars(tight)
    rng = random.Random(name)
    for _ in range(WALKS):
        text = walk(matcher, rng)
        value = json.loads(text)
        assert faults(value, schema) == [], text
        assert within_integer_formats(value, schema), text
        assert most is None or len(text) <= most
        assert not re.search(r"\d{40}", text), "a number without end"


@pytest.mark.parametrize(
    ("path", "schema"), REFUSED, ids=[f"{path or '(root)'}-{i}" for i, (path, _) in enumerate(REFUSED)]
)
def test_what_cannot_be_honoured_is_refused_by_path(path, schema):
    with pytest.raises(SchemaError) as refusal:
        prepare(schema)
    assert refusal.value.path == path, refusal.value
    assert path in str(refusal.value)


@pytest.mark.parametrize("keyword", keywords.REFUSED)
def test_every_refused_keyword_is_refused_with_a_way_out(keyword):
    with pytest.raises(SchemaError) as refusal:
        prepare({"type": "object", "properties": {"deep": {keyword: {}}}})
    assert refusal.value.path == f"/properties/deep/{keyword}"
    assert refusal.value.hint


def test_the_collection_covers_every_keyword_and_format_that_is_claimed():
    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {key for each in value.values() for key in keys(each)}
        return {key for each in value for key in keys(each)} if isinstance(value, list) else set()

    used = {key for schema in ACCEPTED.values() for key in keys(schema)}
    formats = {each.get("format") for each in ACCEPTED.values() if isinstance(each, dict)}
    assert len(ACCEPTED) >= 200
    assert set(keywords.HONOURED) <= used
    assert set(FORMATS) <= formats


def test_every_optional_branch_of_a_union_can_be_reached():
    schema = ACCEPTED["answers: tool choice"]
    matcher = compiled(prepare(schema))
    rng = random.Random(1)
    assert {json.loads(walk(matcher, rng))["name"] for _ in range(60)} == {"search", "calculate", "finish"}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, '{"a":5}'),
        ({"type": "string", "format": "date"}, '"2024-02-29"'),
        ({"type": "string", "format": "date"}, '"2000-02-29"'),
        ({"type": "string", "format": "email"}, '"o\'neill.j+x@mail.example.co.jp"'),
        ({"type": "string", "format": "uri"}, '"https://example.com:8080/a/b%20c?q=1&r=2#top"'),
        ({"type": "string", "format": "ipv6"}, '"2001:db8::ff00:42:8329"'),
        ({"type": "string", "format": "ipv6"}, '"::1"'),
        ({"type": "string", "format": "date-time"}, '"2026-01-31T23:59:59.125+09:00"'),
        ({"type": "number", "minimum": 0}, "0.000000001"),
        ({"type": "number"}, "-9007199254740991"),
        ({"type": "string"}, '"' + "字" * 2000 + '"'),
        ({"type": "string"}, '"line\\nnext\\t\\"quoted\\" \\\\ /"'),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"日本":1,"a b":2}'),
        (ANY, '{"a":{"b":[{"c":null}]}}'),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}}, '{"a":null}'),
        (ACCEPTED["configs: two families"], '{"i_x":1,"s_y":"z"}'),
        (ACCEPTED["payloads: expression"], '{"result":{"op":"+","left":1,"right":{"op":"*","left":2,"right":3}}}'),
    ],
)  # fmt: skip
def test_tightening_leaves_what_people_expect(schema, text):
    assert accepts(prepare(schema), text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, '"' + "x" * 2001 + '"'),
        ({"type": "string"}, '"\\u0000"'),
        ({"type": "array", "items": {"type": "null"}}, "[" + ",".join(["null"] * 65) + "]"),
        ({"type": "number"}, "1e999"),
        ({"type": "number"}, "0." + "1" * 40),
        ({"type": "integer"}, "9" * 17),
        ({"type": "object", "properties": {"a": {"type": "null"}}}, '{"b":null}'),
        ({"type": "string", "format": "date"}, '"2023-02-29"'),
        ({"type": "string", "format": "date"}, '"1900-02-29"'),
        ({"type": "string", "format": "date"}, '"0000-01-01"'),
        ({"type": "string", "format": "time"}, '"23:59:60Z"'),
        # The decoder on its own lets these through, each against the schema.
        ({"type": "string", "pattern": '^[^"]$'}, '"\\""'),
        ({"type": "string", "pattern": r'^[^"\\]$'}, '"\\\\"'),
        ({"type": "string", "pattern": r"^[\x00-\x1f]$"}, '"\\""'),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
            '{"\\u0061":"x"}',
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
            '{"a":"x"}',
        ),
        ({"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1}, "{}"),
        ({"x-guidance": {"lenient": True, "whitespace_flexible": True}, "type": "integer"}, "1 "),
        (ANY, "[]"),
        (ANY, "{" + '"a":{' * 8 + "}" * 9),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}}, '{"a":1,"b":1}'),
    ],
)
def test_tightening_closes_what_would_break_the_schema_or_never_end(schema, text):
    assert not accepts(prepare(schema), text)


def test_characters_that_the_readers_of_patterns_disagree_about_are_not_decoded():
    characters = '\t\n\x0b\x0c\r\x01\x1c\x7f\x85\xa0 "\\/^-]aZ_0é٣²Ⅷ字\u2028\u3000\ufeff😀'
    sources = [
        r"\d",
        r"\D",
        r"\w",
        r"\W",
        r"\s",
        r"\S",
        r"[^\d]",
        r"[^\D]",
        r"[^\w]",
        r"[^\W]",
        r"[^\s]",
        r"[^\S]",
        ".",
    ]
    sources += [r'[^"]', r"[^\\]", r"[\x00-\x20]", r"[^a-z\s]", r"[\s\S]", r"[^\x00-\x1f]", r"[ -~]", r"\n|a", "[^/]"]
    for source in sources:
        matcher = compiled(prepare({"type": "string", "pattern": f"^(?:{source})$"}))
        decoded = [each for each in characters if _lets(matcher, each)]
        assert decoded, source
        assert [each for each in decoded if not re.search(f"^(?:{source})$", each)] == [], source


def _lets(fresh: llguidance.LLMatcher, character: str) -> bool:
    matcher = fresh.deep_copy()
    data = list(json.dumps(character, ensure_ascii=False).encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


def test_names_of_other_members_are_exactly_those_that_are_not_listed():
    listed = ["a", "ab", "b", "", '"', "\\", "é"]
    schema = {"type": "object", "properties": dict.fromkeys(listed, False), "additionalProperties": {"const": 1}}
    tight = prepare(schema)
    for name in listed:
        assert not accepts(tight, json.dumps({name: 1}, ensure_ascii=False, separators=(",", ":"))), name
    for name in ["aa", "abc", "ba", "c", "x" * 64, '""', "è", "éé", "]"]:
        assert accepts(tight, json.dumps({name: 1}, ensure_ascii=False, separators=(",", ":"))), name


@pytest.mark.parametrize("key", ["items", "allOf", "properties", "$defs"])
def test_a_schema_three_thousand_levels_deep_is_refused_by_path(key):
    deep: Any = {"type": "integer"}
    for _ in range(3000):
        deep = {key: [deep]} if key == "allOf" else {key: {"a": deep}} if key != "items" else {"items": deep}
    with pytest.raises(SchemaError, match="deeper") as refusal:
        prepare(deep)
    assert refusal.value.path.startswith(f"/{key}")


def test_deep_or_long_text_is_refused_before_it_is_a_schema():
    with pytest.raises(SchemaError, match="deeper"):
        prepare(parse('{"items":' * 100_000 + "{}" + "}" * 100_000))
    with pytest.raises(SchemaError, match="not JSON"):
        parse('{"type": "string",}')
    with pytest.raises(SchemaError, match="longer"):
        parse('{"description": "' + "x" * 3_000_000 + '"}')


@pytest.mark.parametrize(
    "huge",
    [
        {"description": "x" * 2_000_000},
        {"enum": list(range(1_000_000))},
        {"properties": {str(number): {"type": "string"} for number in range(30_000)}},
        {"type": "string", "pattern": "(" * 1500},
        {"type": "string", "pattern": "a{1000}" * 400},
        {"anyOf": [{"anyOf": [{"const": [i, j]} for j in range(60)]} for i in range(60)]},
        {"allOf": [{"anyOf": [{"required": [f"{i}{j}"]} for j in range(9)]} for i in range(9)]},
    ],
)  # fmt: skip
def test_a_schema_that_would_take_minutes_or_gigabytes_is_refused(huge):
    with pytest.raises(SchemaError):
        prepare(huge)


def test_a_schema_that_holds_itself_is_refused():
    knot: dict[str, Any] = {"type": "object"}
    knot["properties"] = {"again": knot}
    with pytest.raises(SchemaError, match="deeper"):
        prepare(knot)


def test_what_json_cannot_hold_is_refused():
    for value in (float("nan"), float("inf"), "\ud800", object(), b"x"):
        with pytest.raises(SchemaError) as refusal:
            prepare({"type": "object", "properties": {"a": {"enum": ["fine", value]}}})
        assert refusal.value.path == "/properties/a/enum/1"


def test_the_length_of_an_answer_follows_from_its_schema():
    assert max_json_chars(prepare({"const": {"a": [1, "x"]}})) == len('{"a": [1, "x"]}')
    assert (
        max_json_chars(prepare({"type": "array", "items": {"type": "null"}, "maxItems": 3}))
        == len("[null, null, null]") + 3
    )
    bounded = max_json_chars(prepare(ACCEPTED["answers: explanation"]))
    assert bounded is not None
    assert 280 < bounded < 2 * 280 + 40
    assert max_json_chars(prepare(ACCEPTED["payloads: linked list"])) is None


def test_multiples_are_judged_as_decimals():
    schema = {"type": "number", "multipleOf": 0.01}
    assert [value for value in (0.07, 0.29, 1.1, 3, 19.99) if list(violations(value, schema))] == []
    assert list(violations(0.075, schema))
    assert list(violations(1e300, {"multipleOf": 0.7}))
    assert not list(violations("text", {"multipleOf": 0.01}))
    assert list(violations("text", {"$schema": "http://json-schema.org/draft-04/schema#", "type": "number"}))


def test_the_documentation_lists_what_the_code_does():
    text = (Path(__file__).parents[3] / "docs" / "json-schema.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE)
    assert dict(rows) == keywords.HONOURED | keywords.REFUSED
    assert re.search(r"^Formats of strings: (.*)\.$", text, re.MULTILINE)[1] == ", ".join(sorted(FORMATS))  # type: ignore[index]
    from edgechat.engine.schema import document, tighten

    for bound in (tighten.STRING_BOUND, tighten.ARRAY_BOUND, tighten.NAME_BOUND, tighten.DECIMALS, tighten.ANY_DEPTH):
        assert re.search(rf"\b{bound}\b", text), bound
    for bound in (document.MAX_DEPTH, document.MAX_NODES, document.MAX_CHARACTERS):
        assert re.search(rf"\b{bound:,}\b", text), bound


def test_an_enum_takes_time_in_proportion_to_its_length():
    """Counts comparisons instead of seconds: in pairs, 19,000 values took half a minute."""
    counts = []
    for size in (1_000, 10_000):
        meaning = Meaning(Document({"enum": [f"PART-{number:05d}" for number in range(size)]}))
        meaning.of(("",))
        counts.append(meaning.n_compared)
    assert counts[1] <= 11 * counts[0]


@pytest.mark.slow
def test_a_schema_that_would_take_too_long_is_refused_with_its_reason():
    values = [f"PART-{number:05d}" for number in range(15_000)]
    branches = [{"type": "string", "pattern": f"^A{number}"} for number in range(150)]
    with pytest.raises(SchemaError, match="takes too long"):
        prepare({"enum": values, "anyOf": branches})
