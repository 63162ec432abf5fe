"""Result of the translate task as pydantic models, and the flags of its faults."""

from __future__ import annotations

from typing import Literal

from edgechat.tasks.strict import Strict

Flag = Literal[
    "placeholder", "placeholder_order", "number_missing", "number_extra", "empty", "identical", "repetition", "bracket",
    "length", "wrong_language", "preamble", "prompt_echo", "source_words", "glossary", "instruction_in_text",
    "truncated", "kept_source", "not_translated", "source_undetermined",
]  # fmt: skip
"""A fault that a rule found.

``placeholder_order``: placeholders are in another order, and the model saw no names of them. ``source_words``: words
of the source language are left. With ``kept_source`` and ``not_translated`` the target is the source text.
"""


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
