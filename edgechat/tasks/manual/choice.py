"""Which of the found sections the model reads: reading is what a board is slow at."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from edgechat.documents.retrieval import coverage, question_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.documents.library import StoredSection

MAX_READ_TOKENS = 2400
"""Of all sections together, by estimate: with the answer they fit a context of 4,096."""
_CLEAR = 1.35
"""A best section whose score is this many times the next one's is read alone."""
_LEAST_COVERAGE = 0.2
"""Share of the question's terms that the found sections must hold between them for a model to be asked at all."""


def chosen(question: str, found: Sequence[StoredSection], most: int) -> list[StoredSection]:
    """The sections to read, the best first; none where they hold next to nothing of the question."""
    terms = question_terms(question)
    best = [
        each for each in found[:3] if coverage(terms, f"{each.title} {each.heading} {each.text}") >= _LEAST_COVERAGE
    ]
    if not best:
        return []
    read = [found[0]]
    for before, each in pairwise(found[:most]):
        tokens = sum(section.tokens for section in read) + each.tokens
        if before.score >= _CLEAR * each.score or tokens > MAX_READ_TOKENS:
            break
        read.append(each)
    return read
