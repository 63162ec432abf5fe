"""Which of the found sections the model reads: reading is what a board is slow at."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.documents.stored import StoredSection

MAX_READ_TOKENS = 2400
"""Of all sections together, by estimate: with the answer they fit a context of 4,096."""
_CLEAR = 1.15
"""A best section whose score is this many times the next one's is read alone."""
LEAST_MATCHED = 0.4
"""Share of a question's terms, by their rarity, that the sections to read must hold for a model to be asked at all.

Measured over tests/documents/data/manual_questions.json: 48 questions with an answer have 0.44
and more, 10 of 12 without one 0.38 and less. The bound was chosen with this set seen."""


def chosen(found: Sequence[StoredSection], most: int) -> list[StoredSection]:
    """The sections to read, the best first."""
    read = list(found[:1])
    for before, each in pairwise(found[:most]):
        tokens = sum(section.tokens for section in read) + each.tokens
        if before.score >= _CLEAR * each.score or tokens > MAX_READ_TOKENS:
            break
        read.append(each)
    return read
