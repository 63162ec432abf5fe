"""Turns the model's answer into the parts of a report: parse, clean, check against the input.

The complete parts of an answer that was cut off are kept. No text is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from pydantic_core import from_json

from edgechat.plaintext import clean_line
from edgechat.tasks.grounding import GroundingTexts
from edgechat.tasks.rootcause.record import CitedEvidence, EscapeHypothesis, Flag, Hypothesis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgechat.tasks.contract import GeneratedJson, Schema
    from edgechat.tasks.rootcause.record import Fact, RootCauseInput


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """The valid parts of an answer."""

    hypotheses: tuple[Hypothesis, ...] = ()
    escape_hypothesis: EscapeHypothesis | None = None
    containment: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    summary: str = ""
    is_whole: bool = False
    """True when the whole answer fits its schema."""


def checked_answer(answer: GeneratedJson, schema: Schema) -> CheckedAnswer:
    """The parts of ``answer`` that fit ``schema``; each part is validated alone, in case the rest was cut off."""
    value = answer.value if answer.finish_reason == "stop" else _partial(answer.text)
    if not isinstance(value, dict):
        return CheckedAnswer()
    is_whole = answer.finish_reason == "stop" and _fits(value, schema)
    parts: dict[str, Any] = schema["properties"]
    each = parts["hypotheses"]["items"]
    escape = value.get("escape_hypothesis")
    return CheckedAnswer(
        hypotheses=_merged(
            Hypothesis(**_cleaned(item))
            for item in _list(value, "hypotheses")[: parts["hypotheses"]["maxItems"]]
            if _fits(item, each)
        ),
        escape_hypothesis=EscapeHypothesis(**_cleaned(escape))
        if escape is not None and _fits(escape, parts["escape_hypothesis"])
        else None,
        containment=_strings(value, "containment", parts),
        unknowns=_strings(value, "unknowns", parts),
        summary=clean_line(value["summary"]) if _fits(value.get("summary"), parts["summary"]) else "",
        is_whole=is_whole,
    )


def cited_evidence(record: RootCauseInput, facts: Sequence[Fact], answer: CheckedAnswer) -> list[CitedEvidence]:
    """The evidence that facts and hypotheses cite, each once, in input order."""
    claims = (*facts, *answer.hypotheses, *((answer.escape_hypothesis,) if answer.escape_hypothesis else ()))
    ids = {evidence_id for claim in claims for evidence_id in claim.evidence_ids}
    return [CitedEvidence(id=item.id, text=clean_line(item.text)) for item in record.evidence if item.id in ids]


def ungrounded_flags(answer: CheckedAnswer, record: RootCauseInput) -> list[Flag]:
    """Numbers and identifiers in the model's text that do not occur in the input, with their JSON Pointers."""
    ground = GroundingTexts(_input_texts(record))
    return [
        Flag(path=path, kind=missing.kind, token=missing.token)
        for path, text in _sentences(answer)
        for missing in ground.missing(text)
    ]


def _input_texts(record: RootCauseInput) -> Iterator[str]:
    yield from (record.product_id, record.defect_type, record.location, str(record.severity))
    yield f"{record.confidence:g}"
    yield from (text for text in (record.detected_at, record.line, record.station, record.lot) if text)
    for item in record.evidence:
        yield item.id
        yield item.text


def _sentences(answer: CheckedAnswer) -> Iterator[tuple[str, str]]:
    for i, item in enumerate(answer.hypotheses):
        yield f"/hypotheses/{i}/statement", item.statement
        yield f"/hypotheses/{i}/check_to_do", item.check_to_do
    if answer.escape_hypothesis is not None:
        yield "/escape_hypothesis/statement", answer.escape_hypothesis.statement
        yield "/escape_hypothesis/check_to_do", answer.escape_hypothesis.check_to_do
    yield from ((f"/containment/{i}", text) for i, text in enumerate(answer.containment))
    yield from ((f"/unknowns/{i}", text) for i, text in enumerate(answer.unknowns))
    yield "/summary", answer.summary


def _partial(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        # A string that was cut off is dropped: half a sentence may mean the opposite of the whole.
        return from_json(text, allow_partial=True)
    except ValueError:
        return None


def _fits(value: object, schema: Schema) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _strings(value: dict[str, Any], name: str, parts: dict[str, Any]) -> tuple[str, ...]:
    each = parts[name]["items"]
    fitting = (clean_line(item) for item in _list(value, name)[: parts[name]["maxItems"]] if _fits(item, each))
    return tuple(dict.fromkeys(text for text in fitting if text))


def _merged(hypotheses: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """Merge hypotheses with the same category and statement, which small models repeat; the evidence of all is kept."""
    found: dict[tuple[str, str], Hypothesis] = {}
    for item in hypotheses:
        key = item.category, item.statement.casefold()
        if key in found:
            ids = list(dict.fromkeys([*found[key].evidence_ids, *item.evidence_ids]))
            found[key] = found[key].model_copy(update={"evidence_ids": ids})
        else:
            found[key] = item
    return tuple(found.values())


def _cleaned(item: dict[str, Any]) -> dict[str, Any]:
    """The item without control characters and repeated ids, which the schema cannot forbid."""
    kept = {name: clean_line(value) if isinstance(value, str) else value for name, value in item.items()}
    return {**kept, "evidence_ids": list(dict.fromkeys(item["evidence_ids"]))}
