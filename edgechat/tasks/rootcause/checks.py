"""What is done with a model's answer before it becomes a report: salvage, clean, check against the input.

An answer that was cut off keeps its finished parts. Nothing here adds words of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from pydantic_core import from_json

from edgechat.plaintext import clean_line
from edgechat.tasks.grounding import Ground
from edgechat.tasks.rootcause.record import CitedEvidence, EscapeHypothesis, Flag, Hypothesis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from edgechat.tasks.contract import GeneratedJson, Schema
    from edgechat.tasks.rootcause.record import Fact, RootCauseInput


@dataclass(frozen=True, slots=True)
class Said:
    """The usable part of an answer."""

    hypotheses: tuple[Hypothesis, ...] = ()
    escape_hypothesis: EscapeHypothesis | None = None
    containment: tuple[str, ...] = ()
    unknowns: tuple[str, ...] = ()
    summary: str = ""
    is_whole: bool = False
    """True when the answer fits its schema from first to last."""


def usable(answer: GeneratedJson, schema: Schema) -> Said:
    """What of ``answer`` fits ``schema``; each part is judged for itself when the whole was cut off."""
    value = answer.value if answer.finish_reason == "stop" else _partial(answer.text)
    if not isinstance(value, dict):
        return Said()
    is_whole = answer.finish_reason == "stop" and _fits(value, schema)
    parts: dict[str, Any] = schema["properties"]
    each = parts["hypotheses"]["items"]
    escape = value.get("escape_hypothesis")
    return Said(
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


def cited(record: RootCauseInput, facts: Sequence[Fact], said: Said) -> list[CitedEvidence]:
    """The evidence that facts and hypotheses cite, once each, in the input's order: a reader can look an id up."""
    claims = (*facts, *said.hypotheses, *((said.escape_hypothesis,) if said.escape_hypothesis else ()))
    ids = {evidence_id for claim in claims for evidence_id in claim.evidence_ids}
    return [CitedEvidence(id=item.id, text=clean_line(item.text)) for item in record.evidence if item.id in ids]


def ungrounded(said: Said, record: RootCauseInput) -> list[Flag]:
    """Numbers and identifiers in the model's words that the input does not hold, with their places."""
    ground = Ground(_input_texts(record))
    return [
        Flag(path=path, kind=missing.kind, token=missing.token)
        for path, text in _sentences(said)
        for missing in ground.missing(text)
    ]


def _input_texts(record: RootCauseInput) -> Iterator[str]:
    yield from (record.product_id, record.defect_type, record.location, str(record.severity))
    yield f"{record.confidence:g}"
    yield from (text for text in (record.detected_at, record.line, record.station, record.lot) if text)
    for item in record.evidence:
        yield item.id
        yield item.text


def _sentences(said: Said) -> Iterator[tuple[str, str]]:
    for i, item in enumerate(said.hypotheses):
        yield f"/hypotheses/{i}/statement", item.statement
        yield f"/hypotheses/{i}/check_to_do", item.check_to_do
    if said.escape_hypothesis is not None:
        yield "/escape_hypothesis/statement", said.escape_hypothesis.statement
        yield "/escape_hypothesis/check_to_do", said.escape_hypothesis.check_to_do
    yield from ((f"/containment/{i}", text) for i, text in enumerate(said.containment))
    yield from ((f"/unknowns/{i}", text) for i, text in enumerate(said.unknowns))
    yield "/summary", said.summary


def _partial(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        # A string that was cut off is dropped, not kept: half a sentence may say the opposite of the whole.
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
    """One of those that say the same: a small model fills its list with repetitions. It keeps the evidence of all."""
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
    """Control characters gone, and each id cited once: decoding cannot forbid repeats."""
    kept = {name: clean_line(value) if isinstance(value, str) else value for name, value in item.items()}
    return {**kept, "evidence_ids": list(dict.fromkeys(item["evidence_ids"]))}
