"""Input of the rootcause task as pydantic models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, model_validator

from edgechat.tasks.language import Language
from edgechat.tasks.rootcause.limits import MAX_IMAGE, MAX_LOG_LINES, MAX_NOTES, MAX_TEXT
from edgechat.tasks.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable

Short = Annotated[str, Field(min_length=1, max_length=200)]
EvidenceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,39}$")]
"""ASCII without spaces, so that an id in a sentence can be recognised."""


class Evidence(Strict):
    """One note or log line."""

    id: EvidenceId
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def _numbered(letter: str) -> Callable[[object], object]:
    """A validator that makes a note of each line of a plain text: a cell of a table has no place for ids."""

    def numbered(value: object) -> object:
        if not isinstance(value, str):
            return value
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        return [{"id": f"{letter}{at}", "text": line} for at, line in enumerate(lines, 1)]

    return numbered


class RootCauseInput(Strict):
    """One detected defect and what was noted around it."""

    product_id: Short
    defect_type: Short
    location: Short
    """Where on the product."""
    severity: Short | Annotated[int, Field(ge=1, le=10)]
    """The plant's own word, or 1 to 10."""
    confidence: Annotated[float, Field(ge=0, le=1)]
    """The detector's confidence."""
    process_notes: Annotated[list[Evidence], Field(max_length=MAX_NOTES), BeforeValidator(_numbered("N"))]
    log_lines: Annotated[list[Evidence], Field(max_length=MAX_LOG_LINES), BeforeValidator(_numbered("L"))]
    """Notes and log lines. Plain text instead of a list is one for each line, with the ids N1, N2, … and L1, L2, …"""
    detected_at: Short | None = None
    """Time of detection, as the plant writes it."""
    line: Short | None = None
    station: Short | None = None
    lot: Short | None = None
    image: Annotated[str, Field(min_length=1, max_length=MAX_IMAGE)] | None = None
    """A picture of the defect, PNG or JPEG: its path here, or the file itself as a ``data:image/…;base64`` address.
    Needs a model that can see."""
    language: Language | None = None
    """Language of the report; the locale's when left out."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> RootCauseInput:
        seen: set[str] = set()
        for item in self.evidence:
            if item.id in seen:
                raise ValueError(f"Evidence id {item.id!r} is used twice: each note and log line needs its own.")
            seen.add(item.id)
        return self

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Notes, then log lines."""
        return (*self.process_notes, *self.log_lines)
