"""Input and result of the translate task as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edgechat.tasks.strict import Strict
from edgechat.tasks.translate.languages import AUTO, LANGUAGES

MAX_TEXT = 1_000_000

Flag = Literal[
    "placeholder", "placeholder_order", "number_missing", "number_extra", "empty", "identical", "repetition", "bracket",
    "length", "wrong_language", "preamble", "prompt_echo", "source_words", "glossary", "instruction_in_text",
    "truncated", "kept_source", "not_translated", "source_undetermined",
]  # fmt: skip
"""A fault that a rule found.

``placeholder_order``: placeholders are in another order, and the model saw no names of them. ``source_words``: words
of the source language are left. With ``kept_source`` and ``not_translated`` the target is the source text.
"""


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


class TranslatedSegment(Strict):
    """One sentence."""

    source: str
    target: str
    flags: list[Flag]


class GlossaryMiss(Strict):
    """A term whose translation was not used."""

    segment: int
    """Index into ``segments``."""
    source: str
    target: str


class TranslateResult(Strict):
    """The translation; where a flag says so, the source stands in its place."""

    translation: str
    source: str
    """Language code as given or detected; ``und`` when it cannot be detected."""
    target: str
    segments: list[TranslatedSegment]
    flags: list[Flag]
    """Every flag that a segment or the text has, once."""
    glossary_misses: list[GlossaryMiss]
