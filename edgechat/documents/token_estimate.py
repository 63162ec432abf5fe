"""About how many tokens a text has: sections are cut before it is known which model will read them."""

from __future__ import annotations

import re

_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_WORD = re.compile(r"[A-Za-z]+")
_SIGN = re.compile(r"[^\sA-Za-z]")
_PER_WIDE = 0.8
_PER_WORD = 1.0
"""Of up to seven letters; longer words are spelled in pieces."""
_PER_SIGN = 0.85
_LETTERS = 7


def estimated_tokens(text: str) -> int:
    """About the number of tokens of ``text`` in vocabularies of 100,000 and more entries.

    Measured with Qwen2.5's over English and Japanese manuals; see scripts/measure/manual_questions.py.
    """
    wide = len(_WIDE.findall(text))
    words = sum(1 + (len(word) - 1) // _LETTERS for word in _WORD.findall(text))
    signs = len(_SIGN.findall(text)) - wide
    return round(wide * _PER_WIDE + words * _PER_WORD + signs * _PER_SIGN) + 1
