"""Sorts notes and log lines by rules: what is evidence, what the model may choose, what is left out.

Abnormal lines are always evidence. Normal readings are neither offered nor cited, except those that contradict an
abnormal reading of the same part. Notes are evidence beside a sign of trouble, except those that say that all is well
or give orders: a 0.5B model that picked among them lost recall (0.92 to 0.85) and gained no precision. Events without a
judgement are only offered to a model that words a cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.lexicon import (
    best_category,
    category_scores,
    looks_like_instruction,
    reports_trouble,
    sounds_fine,
)
from edgechat.tasks.rootcause.line_state import JudgedLine, by_distance, contradicting, judged_lines
from edgechat.tasks.rootcause.record import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.tasks.rootcause.record import RootCauseInput
    from edgechat.tasks.rootcause.result import Category

_LINE_WEIGHT = 0.5
_RANKED_LINES = 4
_DEFECT_WEIGHT = 0.2
_CONTRADICTION = 3.0
"""Weight of a contradicted reading for the category ``measurement``."""


@dataclass(frozen=True, slots=True)
class SortedEvidence:
    """The notes and lines of one record by their use."""

    lines: tuple[JudgedLine, ...]
    """Every log line, in the input's order."""
    abnormal: tuple[JudgedLine, ...]
    """The abnormal ones, farthest outside first."""
    contradictions: tuple[JudgedLine, ...]
    """Normal readings that contradict an abnormal one."""
    overrides: tuple[JudgedLine, ...]
    """Events that took a safeguard away."""
    troubles: tuple[Evidence, ...]
    """Notes that report trouble."""
    unclear: tuple[Evidence, ...]
    """Notes without a word of trouble that do not say that all is well either."""
    events: tuple[Evidence, ...]
    """Log lines in words, without a reading or a status, that may be a cause."""
    instructions: tuple[Evidence, ...]
    """Notes and lines that give orders or pass a verdict on readings. They are not used."""

    @property
    def is_sufficient(self) -> bool:
        """True when at least one line or note reports something that can be a cause."""
        return bool(self.abnormal or self.troubles or self.overrides)

    @property
    def certain_ids(self) -> list[str]:
        """The ids that are evidence without a model's choice, lines after notes."""
        lines = (*self.abnormal, *self.contradictions, *self.overrides)
        return [*(note.id for note in (*self.troubles, *self.unclear)), *(line.id for line in lines)]

    def by_id(self) -> dict[str, str]:
        """The clean text of every note and line that may be cited."""
        cited: Iterable[Evidence | JudgedLine] = (
            *self.troubles, *self.unclear, *self.events, *self.abnormal, *self.contradictions, *self.overrides,
        )  # fmt: skip
        return {item.id: clean_line(item.text) for item in cited}


def sorted_evidence(record: RootCauseInput) -> SortedEvidence:
    """Sort the notes and log lines of ``record``."""
    lines = judged_lines(record.log_lines)
    orders = {item.id for item in record.evidence if looks_like_instruction(item.text)}
    # A line with a reading is judged by its numbers, whatever else it says.
    orders -= {line.id for line in lines if line.state == "abnormal"}
    events = [line for line in lines if line.state == "event" and line.id not in orders]
    notes = [note for note in record.process_notes if note.id not in orders]
    troubles = [note for note in notes if reports_trouble(note.text)]
    unclear = [note for note in notes if not reports_trouble(note.text) and not sounds_fine(note.text)]
    known = {line.id for line in events if line.is_override}
    return SortedEvidence(
        lines=tuple(lines),
        abnormal=tuple(by_distance(lines)),
        contradictions=tuple(contradicting(lines)),
        overrides=tuple(line for line in events if line.is_override),
        troubles=tuple(troubles),
        unclear=tuple(unclear),
        events=tuple(
            Evidence(id=line.id, text=line.text) for line in events if line.id not in known and _has_words(line.text)
        ),
        instructions=tuple(item for item in record.evidence if item.id in orders),
    )


def rule_category(record: RootCauseInput, found: SortedEvidence, cited: Iterable[str]) -> tuple[Category, float]:
    """The category by the lexicon, and its lead over the next one; ``unknown`` when no word of it occurs."""
    ids = set(cited)
    notes = [item for item in (*found.troubles, *found.unclear) if item.id in ids]
    texts = [(1.0, note.text) for note in notes]
    texts += [(_LINE_WEIGHT, line.text) for line in found.abnormal[:_RANKED_LINES]]
    texts += [(_LINE_WEIGHT, line.text) for line in found.overrides]
    texts.append((_DEFECT_WEIGHT, record.defect_type))
    scores = category_scores(texts)
    if found.contradictions:
        scores["measurement"] = scores.get("measurement", 0.0) + _CONTRADICTION
    return best_category(scores)


def _has_words(text: str) -> bool:
    """True for an event in words; a line of program code or a bare counter is no cause."""
    return sum(character.isalpha() for character in text) >= 12
