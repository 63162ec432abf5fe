"""Detects answers that repeat or translate the prompt instead of the text. Pure functions.

Compares runs of words of the prompt, the source and the answer; ignores case, width and punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_RUN = 4
"""Words in a row of the instructions that a translation into another language than theirs would not contain."""
_RUN_SAME = 6
"""The same when the instructions are in the target language, where four words (`exactly as they are`) are common."""
_LEAST = 3
"""Minimum words of an instruction line or answer that is shorter than a run and is then compared as a whole."""
_SIGNS = 2
"""Characters of Japanese or Chinese that count as one word."""

# The instruction of the prompt as models translate it, with its verb in the imperative.
_TRANSLATED = re.compile(
    r"\breply\b.{0,20}\btranslation\b|\btranslat(?:e|ion)\b.{0,12}\b(?:from|into|only)\b"
    r"|翻訳(?:文|結果)?(?:のみ|だけ)|(?:から|を).{0,12}語に?翻訳(?:し|する|せよ)"
    r"|(?:只|仅|僅).{0,8}(?:翻译|译文|翻譯)|从.{1,8}翻译(?:成|为|到)",
    re.IGNORECASE,
)
_ABOUT_TRANSLATION = re.compile(r"translat|翻訳|翻译|翻譯|译文|übersetz|tradu|перев", re.IGNORECASE)

_EAST = re.compile(r"[\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u9fff\uf900-\ufaff]")
_WORD = re.compile(r"[^\W_]+")


def is_echo(answer: str, source: str, instructions: Iterable[str], *, target_language: str) -> bool:
    """Whether ``answer`` contains a run of words of the instructions that is not in the source.

    Args:
        answer: the answer for one segment.
        source: that segment.
        instructions: the other lines of the prompt, with the complaint about an earlier answer, but without texts that
            a good translation may contain, such as glossary terms.
        target_language: the code of the language that ``answer`` should be in.
    """
    lines = list(instructions)
    if _TRANSLATED.search(answer) and not _ABOUT_TRANSLATION.search(source):
        return True
    return _repeats(answer, source, lines, _words, 1, is_same=target_language == "en") or _repeats(
        answer, source, lines, _east_characters, _SIGNS, is_same=target_language == "zh"
    )


def _repeats(
    answer: str,
    source: str,
    instructions: Sequence[str],
    split: Callable[[str], list[str]],
    per_word: int,
    *,
    is_same: bool,
) -> bool:
    answered, given = split(answer), split(source)
    for line in instructions:
        instruction = split(line)
        if is_same:
            # A short answer is an echo only when all of it is in the instructions.
            size = min(_RUN_SAME * per_word, max(_RUN * per_word, len(answered)))
        else:
            size = min(_RUN * per_word, max(_LEAST * per_word, min(len(instruction), len(answered))))
        if (_runs(answered, size) & _runs(instruction, size)) - _runs(given, size):
            return True
    return False


def _runs(parts: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(parts[at : at + size]) for at in range(len(parts) - size + 1)}


def _words(text: str) -> list[str]:
    return _WORD.findall(_EAST.sub(" ", _plain(text)))


def _east_characters(text: str) -> list[str]:
    return _EAST.findall(_plain(text))


def _plain(text: str) -> str:
    # An apostrophe inside a word, straight or curly, is removed.
    return re.sub(r"(?<=\w)['’](?=\w)", "", unicodedata.normalize("NFKC", text).casefold())
