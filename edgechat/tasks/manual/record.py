"""Input and result of the manual task as pydantic models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from edgechat.tasks.language import Language
from edgechat.tasks.strict import Strict

MAX_QUESTION = 2000
MAX_SECTIONS = 4

FlagKind = Literal["number", "identifier", "unit", "quote", "no_match"]
"""What a rule found.

``number``, ``identifier``, ``unit``: a sentence of the answer holds one that no cited section has. ``quote``: a quote
that does not stand in its section was left out. ``no_match``: the sections hold too little of the question, and no
model was asked.
"""

Name = Annotated[str, Field(min_length=1, max_length=500)]


class ManualInput(Strict):
    """A question, and the documents to answer it from."""

    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION)]
    documents: list[Name] | None = None
    """Collections or documents by name, title or #ID; all documents when absent. One name alone is taken too."""
    sections: Annotated[int, Field(ge=1, le=MAX_SECTIONS)] = 2
    """Most sections that the model reads. A clear match is read alone."""
    strict: bool = False
    """An answer with any flag fails."""

    @field_validator("documents", mode="before")
    @classmethod
    def _listed(cls, documents: object) -> object:
        return [documents] if isinstance(documents, str) else documents

    @field_validator("question")
    @classmethod
    def _has_words(cls, question: str) -> str:
        if not question.strip():
            raise ValueError("the question has no words")
        return question


class Citation(Strict):
    """Where an answer stands."""

    section: int
    """See ``edgechat docs show SECTION``."""
    document: str
    heading: str
    page: int | None


class Quote(Strict):
    """Words of a cited section, to the letter but for line breaks."""

    section: int
    text: str


class AnswerFlag(Strict):
    """A fault that a rule found in the answer."""

    kind: FlagKind
    token: str
    sentence: str
    """The sentence of the answer that holds it."""


class ManualResult(Strict):
    """An answer with its evidence, or the nearest headings where none was found."""

    answer: str
    """Empty when nothing was found."""
    found: bool
    citations: list[Citation]
    quotes: list[Quote]
    nearest: list[Citation]
    """Where to look: the sections that fit the question best, whether they answer it or not."""
    read: list[Citation]
    """The sections that the model read. With ``found`` false it found no answer in these; others may have one. Empty
    where no model was asked, because no section fits the question."""
    language: Language
    """Of the fixed words around the answer."""
    flags: list[AnswerFlag]
