"""Limits of the rootcause task: of a record, of the question to the model, and of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.tasks.language import Language

MAX_NOTES = 50
"""Of a record."""
MAX_LOG_LINES = 200
MAX_TEXT = 2000
"""Characters of one note or log line."""
MAX_IMAGE = 27_000_000
"""Characters: a path, or the largest accepted image (20 MB) in base64."""

MAX_OFFERED_NOTES = 12
MAX_OFFERED_LINES = 8
"""Notes and abnormal lines that the model is offered; the rules cite the others without asking."""
MAX_OFFERED_TEXT = 240
"""Characters of one of them."""

MAX_HYPOTHESES = 2
MAX_CITED = 2
"""Notes and lines that the model may cite for a cause."""
MAX_TOKENS = 70
"""Of the model's answer."""
MAX_STATEMENT: dict[Language, int] = {"en": 110, "ja": 50, "zh": 45}
"""Characters of a statement."""
