"""Tells a person before the answer that the model was not made for the script they write in."""

from __future__ import annotations

_SCRIPTS = (
    ("Japanese", ("ja",), ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
    ("Korean", ("ko",), ((0xAC00, 0xD7AF), (0x1100, 0x11FF))),
    ("Chinese or Japanese", ("zh", "ja"), ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x323AF))),
    ("Cyrillic", ("ru", "uk", "bg", "sr"), ((0x0400, 0x052F),)),
    ("Arabic", ("ar", "fa", "ur"), ((0x0600, 0x06FF), (0x0750, 0x077F))),
    ("Hebrew", ("he",), ((0x0590, 0x05FF),)),
    ("Greek", ("el",), ((0x0370, 0x03FF),)),
    ("Thai", ("th",), ((0x0E00, 0x0E7F),)),
    ("Devanagari", ("hi", "mr", "ne"), ((0x0900, 0x097F),)),
)
_NOTICEABLE = 0.2
"""Share of a text's letters that makes a script more than a quoted word."""


def script_warning(text: str, languages: tuple[str, ...], model: str) -> str | None:
    """A sentence when ``text`` is written in a script that none of the model's ``languages`` uses, else None.

    Args:
        text: what the person wrote.
        languages: ISO 639-1 codes; empty when nothing is known, and then nothing is said.
        model: the model's name, for the sentence.
    """
    letters = [ord(c) for c in text[:4000] if c.isalpha()]
    if not letters or not languages:
        return None
    for name, codes, ranges in _SCRIPTS:
        share = sum(any(low <= c <= high for low, high in ranges) for c in letters) / len(letters)
        if share >= _NOTICEABLE:
            if set(codes) & set(languages):
                return None
            return (
                f"{model} does not know this script ({name}); its languages: {', '.join(languages)}. "
                "Get a model that does: edgechat models pull"
            )
    return None
