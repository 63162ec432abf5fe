"""Builds the hypotheses of a report from the sorted evidence and the model's answer.

Every abnormal line is cited. A statement of the model that fails its check is replaced by the rules' sentence. The
complete parts of an answer that was cut off are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from pydantic_core import from_json

from edgechat.plaintext import clean_line
from edgechat.tasks.result import Problem
from edgechat.tasks.rootcause import sentences
from edgechat.tasks.rootcause.evidence import rule_category
from edgechat.tasks.rootcause.examples import example_texts
from edgechat.tasks.rootcause.lexicon import best_category, category_scores
from edgechat.tasks.rootcause.limits import MAX_STATEMENT
from edgechat.tasks.rootcause.result import Hypothesis
from edgechat.tasks.rootcause.statements import example_terms, statement_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.contract import GeneratedJson, Schema
    from edgechat.tasks.language import Language
    from edgechat.tasks.rootcause.evidence import SortedEvidence
    from edgechat.tasks.rootcause.record import RootCauseInput
    from edgechat.tasks.rootcause.result import Category, WordedBy

CLEAR_LEAD = 1.5
"""From this lead on, the lexicon's category stands against the model's."""


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """The hypotheses of one report."""

    items: tuple[Hypothesis, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Why a sentence of the model was replaced."""
    is_whole: bool = False
    """True when the answer of the model, if one was asked, was complete and fitted its schema."""


def from_rules(
    record: RootCauseInput, found: SortedEvidence, language: Language, *, is_whole: bool = True
) -> Hypotheses:
    """The hypotheses by rules alone, over all certain evidence; none without evidence."""
    if not found.is_sufficient:
        return Hypotheses(is_whole=is_whole)
    cited = _in_order(record, set(found.certain_ids))
    category, _ = rule_category(record, found, cited)
    words = sentences.statement(_fitting_first(found, cited, category), found, language)
    first = _hypothesis(words, cited, category, found, language, worded_by="rules")
    return Hypotheses((first, *_second(found, category, words, (), language)), is_whole=is_whole)


def from_causes(
    record: RootCauseInput, found: SortedEvidence, answer: GeneratedJson, schema: Schema, language: Language
) -> Hypotheses:
    """The cause that the model worded, checked, and the rules' second hypothesis."""
    value = _value(answer)
    is_whole = answer.finish_reason == "stop" and _fits(value, schema)
    causes = value.get("causes") if isinstance(value, dict) else None
    cause: Any = causes[0] if isinstance(causes, list) and causes else None
    if not _fits(cause, schema["properties"]["causes"]["items"]):
        return from_rules(record, found, language, is_whole=is_whole)
    said = clean_line(cause["cause"])
    own = list(dict.fromkeys(cause["evidence"]))
    fault = _fault(record, found, said, own, language)
    cited = _in_order(record, {*own, *found.certain_ids})
    category = _category(record, found, cause["category"], cited)
    words = sentences.statement(_fitting_first(found, cited, category), found, language) if fault else said
    first = _hypothesis(words, cited, category, found, language, worded_by="rules" if fault else "model")
    problem = Problem("/hypotheses/0/statement", f"The model's statement was replaced by the rules' sentence. {fault}")
    named = () if fault else tuple(own)
    return Hypotheses((first, *_second(found, category, words, named, language)), (problem,) if fault else (), is_whole)


def _second(
    found: SortedEvidence, first: Category, said: str, named: Sequence[str], language: Language
) -> tuple[Hypothesis, ...]:
    """A second hypothesis by rules: a note about trouble of another category, of which the first does not speak."""
    for note in found.troubles:
        if note.id in named or clean_line(note.text)[:40] in said:
            continue
        category, lead = best_category(category_scores([(1.0, note.text)]))
        if category not in {first, "unknown"} and lead >= CLEAR_LEAD:
            words = sentences.statement([note.id], found, language)
            return (_hypothesis(words, [note.id], category, found, language, worded_by="rules"),)
    return ()


def _category(record: RootCauseInput, found: SortedEvidence, said: Category, cited: Sequence[str]) -> Category:
    by_rules, lead = rule_category(record, found, cited)
    return by_rules if by_rules != "unknown" and lead >= CLEAR_LEAD else said


def _fault(record: RootCauseInput, found: SortedEvidence, said: str, cited: Sequence[str], language: Language) -> str:
    return statement_fault(
        said,
        cited=cited,
        texts=found.by_id(),
        lines=found.abnormal,
        defect_words=f"{record.product_id} {record.defect_type} {record.location}",
        example_words=example_terms(example_texts(language)),
        longest=MAX_STATEMENT[language],
    )


def _hypothesis(
    words: str, cited: list[str], category: Category, found: SortedEvidence, language: Language, *, worded_by: WordedBy
) -> Hypothesis:
    return Hypothesis(
        category=category,
        statement=words,
        evidence_ids=cited,
        check_to_do=sentences.check(category, cited, language),
        confidence=sentences.confidence(cited, found),
        worded_by=worded_by,
    )


def _fitting_first(found: SortedEvidence, cited: Sequence[str], category: Category) -> list[str]:
    """The ids with the notes of this category first: the statement quotes the first note."""
    notes = {note.id: note.text for note in (*found.troubles, *found.unclear)}
    return sorted(
        cited, key=lambda one: one in notes and best_category(category_scores([(1.0, notes[one])]))[0] != category
    )


def _in_order(record: RootCauseInput, ids: set[str]) -> list[str]:
    return [item.id for item in record.evidence if item.id in ids]


def _value(answer: GeneratedJson) -> Any:  # noqa: ANN401 - whatever JSON holds
    if answer.finish_reason == "stop":
        return answer.value
    try:
        # A string that was cut off is dropped: half a sentence may mean the opposite of the whole.
        return from_json(answer.text, allow_partial=True)
    except ValueError:
        return None


def _fits(value: object, schema: Schema) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))
