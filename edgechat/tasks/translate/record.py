"""Input of the translate task as pydantic models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from edgechat.tasks.strict import Strict
from edgechat.tasks.translate.languages import AUTO, LANGUAGES

MAX_TEXT = 1_000_000


class Term(Strict):
    """One term of a glossary."""

    source: Annotated[str, Field(min_length=1, max_length=200)]
    target: Annotated[str, Field(min_length=1, max_length=200)]


class TranslateInput(Strict):
    """One text to translate."""

    text: Annotated[str, Field(max_length=MAX_TEXT)]
    source: str = AUTO
    """Language code (``ja``), or ``auto``."""
    target: str
    """Language code."""
    glossary: Annotated[list[Term], Field(max_length=5000, default_factory=list)]
    """Terms with one right translation."""
    strict: bool = False
    """Fail on any flag."""

    @field_validator("source", "target")
    @classmethod
    def _is_known(cls, code: str) -> str:
        if code != AUTO and code not in LANGUAGES:
            raise ValueError(f"There is no language {code!r} here. Known: {', '.join(LANGUAGES)}.")
        return code

    @model_validator(mode="after")
    def _has_direction(self) -> TranslateInput:
        if self.target == AUTO:
            raise ValueError("target is auto; name the language to translate into.")
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.target}.")
        return self
