"""The warning that the model was not trained for the script of the question."""

from __future__ import annotations

_SCRIPTS = (
    ("Japanese", ("ja",), ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D))),
    ("Korean", ("ko",), ((0xAC00, 0xD7AF), (0x1100, 0x11FF), (0x3130, 0x318F))),
    ("Chinese or Japanese", ("zh", "ja"), ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x323AF))),
    ("Cyrillic", ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tg", "mn"), ((0x0400, 0x052F),)),
    ("Arabic", ("ar", "fa", "ur", "ps", "ku", "sd", "ug"), ((0x0600, 0x06FF), (0x0750, 0x077F))),
    ("Hebrew", ("he", "yi"), ((0x0590, 0x05FF),)),
    ("Greek", ("el",), ((0x0370, 0x03FF), (0x1F00, 0x1FFF))),
    ("Thai", ("th",), ((0x0E00, 0x0E7F),)),
    ("Lao", ("lo",), ((0x0E80, 0x0EFF),)),
    ("Devanagari", ("hi", "mr", "ne", "sa"), ((0x0900, 0x097F),)),
    ("Bengali", ("bn", "as"), ((0x0980, 0x09FF),)),
    ("Gurmukhi", ("pa",), ((0x0A00, 0x0A7F),)),
    ("Gujarati", ("gu",), ((0x0A80, 0x0AFF),)),
    ("Odia", ("or",), ((0x0B00, 0x0B7F),)),
    ("Tamil", ("ta",), ((0x0B80, 0x0BFF),)),
    ("Telugu", ("te",), ((0x0C00, 0x0C7F),)),
    ("Kannada", ("kn",), ((0x0C80, 0x0CFF),)),
    ("Malayalam", ("ml",), ((0x0D00, 0x0D7F),)),
    ("Sinhala", ("si",), ((0x0D80, 0x0DFF),)),
    ("Burmese", ("my",), ((0x1000, 0x109F),)),
    ("Georgian", ("ka",), ((0x10A0, 0x10FF), (0x1C90, 0x1CBF))),
    ("Ethiopic", ("am", "ti"), ((0x1200, 0x137F),)),
    ("Khmer", ("km",), ((0x1780, 0x17FF),)),
    ("Armenian", ("hy",), ((0x0530, 0x058F),)),
)
_MIN_SHARE = 0.2
"""A script counts if it has at least this share of the letters; less may be a quoted word."""


def script_warning(text: str, languages: tuple[str, ...], model: str) -> str | None:
    """The warning if ``text`` is in a script that none of the model's ``languages`` uses, else None.

    Args:
        text: the question.
        languages: ISO 639-1 codes, with or without a region; empty if unknown, which gives no warning.
        model: the model's name, for the warning.
    """
    letters = [ord(c) for c in text[:4000] if c.isalpha()]
    if not letters or not languages:
        return None
    spoken = {code.lower().replace("_", "-").partition("-")[0] for code in languages}
    for name, codes, ranges in _SCRIPTS:
        share = sum(any(low <= c <= high for low, high in ranges) for c in letters) / len(letters)
        if share >= _MIN_SHARE:
            if spoken.intersection(codes):
                continue
            return (
                f"{model} does not know this script ({name}); its languages: {', '.join(languages)}. "
                "Get a model that does: edgechat models pull"
            )
    return None
