"""Scores results against references by exact comparison. Pure functions.

Every share is of all records, so a missing answer counts as wrong. The quality of sentences is not scored, except for
translations, in ``translation.py``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgechat.tasks.contract import Schema
    from edgechat.tasks.scoring.reference_file import Pair

Result = dict[str, Any]
"""One result, as :meth:`edgechat.tasks.result.TaskResult.to_json` gives it."""
Scores = dict[str, Any]

_REPORT_KEYS = {"evidence_ids": list, "category": str, "insufficient_evidence": bool}
_NOT_COMPARED = frozenset(
    ("explanation", "explanation_status", "notice", "language", "reason", "assumptions", "explanation_sentences")
)
"""Fields of a driving result that are texts or depend on the language; they are not compared."""


def reference_fault(task: str, reference: Mapping[str, Any], fields: Iterable[str]) -> str:
    """Why ``reference`` cannot be scored for ``task``, or ``""``."""
    if not reference:
        return "the reference is empty"
    if task == "translate":
        text = reference.get("translation")
        return "" if isinstance(text, str) and text.strip() else "translation must be a text"
    if task == "rootcause":
        unknown = sorted(set(reference) - set(_REPORT_KEYS))
        if unknown:
            return f"{unknown[0]} is not one of {', '.join(_REPORT_KEYS)}"
        wrong = [key for key, value in reference.items() if not isinstance(value, _REPORT_KEYS[key])]
        return f"{wrong[0]} is not of the right type" if wrong else ""
    allowed = set(fields) - (_NOT_COMPARED if task == "driving" else set())
    unknown = sorted(set(reference) - allowed)
    return f"{unknown[0]} cannot be compared; known: {', '.join(sorted(allowed))}" if unknown else ""


def schema_scores(results: Sequence[Result], schema: Schema) -> Scores:
    """The share of results that fit the task's published schema, checked by the jsonschema package."""
    validator = Draft202012Validator(schema)
    valid = sum(1 for done in results if done["result"] is not None and validator.is_valid(done["result"]))
    return {"schema_valid": share(valid, len(results))}


def field_scores(pairs: Sequence[Pair], results: Sequence[Result]) -> Scores:
    """For every field in the references: the share of records with exactly that value (tolerance 0)."""
    named: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for pair, done in zip(pairs, results, strict=True):
        for name, wanted in pair.reference.items():
            named[name] += 1
            same[name] += done["result"] is not None and _comparable(done["result"].get(name)) == _comparable(wanted)
    return {
        "agreement": share(sum(same.values()), sum(named.values())),
        "fields": {name: share(same[name], count) for name, count in sorted(named.items())},
    }


def driving_scores(pairs: Sequence[Pair], results: Sequence[Result]) -> Scores:
    """Agreement of the rules' fields, precision and recall of alerts, statuses of the explanations."""
    alerts = [
        (bool(done["result"] and done["result"]["alert"]), bool(pair.reference["alert"]))
        for pair, done in zip(pairs, results, strict=True)
        if "alert" in pair.reference
    ]
    statuses = Counter(done["result"]["explanation_status"] for done in results if done["result"])
    return {
        **field_scores(pairs, results),
        "alert": _precision_recall(
            sum(1 for predicted, right in alerts if predicted and right),
            sum(1 for predicted, _ in alerts if predicted),
            sum(1 for _, right in alerts if right),
        ),
        "explanation_status": {name: share(count, len(results)) for name, count in sorted(statuses.items())},
    }


def rootcause_scores(pairs: Sequence[Pair], results: Sequence[Result]) -> Scores:
    """Precision and recall of cited evidence (ids over all records), agreement of category and insufficiency."""
    right = predicted = wanted = outside = 0
    category: list[tuple[bool, bool]] = []
    insufficient: list[bool] = []
    for pair, done in zip(pairs, results, strict=True):
        result = done["result"] or {}
        hypotheses = result.get("hypotheses", [])
        cited = {one for item in hypotheses for one in item["evidence_ids"]}
        known = {item["id"] for name in ("process_notes", "log_lines") for item in pair.input.get(name, ())}
        outside += len(cited - known)
        if "evidence_ids" in pair.reference:
            expected = set(pair.reference["evidence_ids"])
            right, predicted, wanted = right + len(cited & expected), predicted + len(cited), wanted + len(expected)
        if "category" in pair.reference:
            found = [item["category"] for item in hypotheses]
            category.append((found[:1] == [pair.reference["category"]], pair.reference["category"] in found))
        if "insufficient_evidence" in pair.reference:
            insufficient.append(result.get("insufficient_evidence") is pair.reference["insufficient_evidence"])
    return {
        "evidence": _precision_recall(right, predicted, wanted),
        "evidence_ids_outside_the_input": outside,
        "category_first": share(sum(first for first, _ in category), len(category)),
        "category_any": share(sum(anywhere for _, anywhere in category), len(category)),
        "insufficient_evidence": share(sum(insufficient), len(insufficient)),
        "complete": share(sum(bool(done["result"] and done["result"]["complete"]) for done in results), len(results)),
        "flags": sum(len(done["result"]["flags"]) for done in results if done["result"]),
        "worded_by": _worded_by(results),
    }


def _worded_by(results: Sequence[Result]) -> Scores:
    """Who worded the statements of the hypotheses: rules or the model."""
    worded = Counter(item["worded_by"] for done in results if done["result"] for item in done["result"]["hypotheses"])
    return dict(sorted(worded.items()))


def flag_scores(results: Sequence[Result]) -> Scores:
    """The share of translated segments without flags, and how often each flag was raised."""
    segments = [part for done in results if done["result"] for part in done["result"]["segments"]]
    flags = Counter(flag for part in segments for flag in part["flags"])
    return {
        "segments": len(segments),
        "segments_without_flags": share(sum(1 for part in segments if not part["flags"]), len(segments)),
        "flags": dict(sorted(flags.items())),
    }


def speed_scores(results: Sequence[Result]) -> Scores:
    """Seconds over all records, and decoded tokens a second where the engine measured them."""
    timings = [done["timing"] for done in results]
    decode_s = sum(timing.get("decode_s", 0.0) for timing in timings)
    # The first token of an answer comes from prefill.
    tokens = sum(max(timing.get("completion_tokens", 0.0) - 1, 0.0) for timing in timings if "decode_s" in timing)
    seconds = sum(timing.get("total_s", 0.0) for timing in timings)
    return {
        "seconds": round(seconds, 3),
        "seconds_per_record": round(seconds / len(results), 3) if results else None,
        "decode_tps": round(tokens / decode_s, 1) if decode_s > 0 else None,
    }


def share(count: int, of: int) -> float | None:
    """``count / of`` from 0 to 1, rounded; None when ``of`` is 0."""
    return round(count / of, 4) if of else None


def _precision_recall(right: int, predicted: int, wanted: int) -> Scores:
    return {"precision": share(right, predicted), "recall": share(right, wanted), "said": predicted, "wanted": wanted}


def _comparable(value: Any) -> Any:  # noqa: ANN401 - whatever a result holds
    """The value to compare: countermeasures by their codes only, since a model may word them."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "code" in item for item in value):
        return [item["code"] for item in value]
    return value
