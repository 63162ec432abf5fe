"""Input of the rootcause task as pydantic models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edgechat.tasks.language import Language
from edgechat.tasks.strict import Strict

MAX_NOTES = 50
MAX_LOG_LINES = 200
MAX_TEXT = 2000
_MAX_IMAGE = 27_000_000
"""Maximum characters: a path, or the largest accepted image (20 MB) in base64."""

Short = Annotated[str, Field(min_length=1, max_length=200)]
EvidenceId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,39}$")]
"""ASCII without spaces, so that an id in a sentence can be recognised."""


class Evidence(Strict):
    """One note or log line."""

    id: EvidenceId
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


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
    process_notes: Annotated[list[Evidence], Field(max_length=MAX_NOTES)]
    log_lines: Annotated[list[Evidence], Field(max_length=MAX_LOG_LINES)]
    detected_at: Short | None = None
    """Time of detection, as the plant writes it."""
    line: Short | None = None
    station: Short | None = None
    lot: Short | None = None
    image: Annotated[str, Field(min_length=1, max_length=_MAX_IMAGE)] | None = None
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
