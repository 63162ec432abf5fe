"""Whether an answer repeats what the model was told, the words around the text, instead of translating. Pure.

Knows nothing of prompts: it gets our words, the source and the answer, and compares runs of words. Case, width and
punctuation do not count.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_RUN = 4
"""Words in a row of ours that a translation into another language than ours has no reason to hold."""
_RUN_SAME = 6
"""The same where ours are in the target language, in which four (`exactly as they are`) come about by themselves."""
_LEAST = 3
"""Words of a line of ours, or of an answer, that is shorter than a run and then counts as a whole."""
_SIGNS = 2
"""Characters of Japanese or Chinese, which put no spaces between words, for one word."""

_EAST = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uf900-\ufaff]")
_WORD = re.compile(r"[^\W_]+")


def is_echo(answer: str, source: str, told: Iterable[str], *, target_language: str) -> bool:
    """Whether ``answer`` holds a run of words that the model was told and that the source does not have.

    Args:
        answer: what came back for one segment.
        source: that segment.
        told: what else the model was given to read, a line each: instructions, and what was said of an answer before.
            What a good translation may hold, such as the terms of a glossary, does not belong here.
        target_language: the code of the language that ``answer`` should be in.
    """
    lines = list(told)
    return _repeats(answer, source, lines, _words, 1, is_same=target_language == "en") or _repeats(
        answer, source, lines, _signs, _SIGNS, is_same=target_language == "zh"
    )


def _repeats(
    answer: str,
    source: str,
    told: Sequence[str],
    split: Callable[[str], list[str]],
    per_word: int,
    *,
    is_same: bool,
) -> bool:
    said, given = split(answer), split(source)
    for line in told:
        ours = split(line)
        if is_same:
            # A short answer is an echo only when all of it is ours.
            size = min(_RUN_SAME * per_word, max(_RUN * per_word, len(said)))
        else:
            size = min(_RUN * per_word, max(_LEAST * per_word, min(len(ours), len(said))))
        if (_runs(said, size) & _runs(ours, size)) - _runs(given, size):
            return True
    return False


def _runs(parts: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(parts[at : at + size]) for at in range(len(parts) - size + 1)}


def _words(text: str) -> list[str]:
    return _WORD.findall(_EAST.sub(" ", _plain(text)))


def _signs(text: str) -> list[str]:
    return _EAST.findall(_plain(text))


def _plain(text: str) -> str:
    # An apostrophe stands inside a word, however it is written.
    return re.sub(r"(?<=\w)['’](?=\w)", "", unicodedata.normalize("NFKC", text).casefold())
