"""Recognises the encoding of a file by its content; gives up where two encodings are equally likely.

A byte-order mark and valid UTF-8 decide at once. Otherwise charset-normalizer names the encodings that give readable
text, and each must also give the letters that its languages use most.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = 1 << 16
"""Bytes that are looked at."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HIGH = re.compile(rb"[\x80-\xff]+")
_MAX_SCATTERED = 2.5
"""Up to this mean length of a run of high bytes a text may be in Latin letters, with an accent here and there."""
_NOT_LATIN = re.compile(rb"[\x81\x83\x88\x8d\x8f\x90\x98\x9d]|\x82[\x80-\xff]")
"""Bytes that Latin texts do not use; in Japanese they begin katakana, hiragana and common kanji."""
_MIN_LETTERS = 12
"""Letters of another script that a guess needs; kana need fewer."""
_KANA = 0.3
"""From this share of kana a text is Japanese: Chinese text read as Japanese gives less."""
_CLEAR = 0.05
"""Difference of charset-normalizer's disorder that separates two encodings."""
_CENTRAL = ("cs", "pl", "hu", "sk", "sl", "hr", "ro")
_WESTERN = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "fi", "no")


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte-order mark at the start of ``data`` names."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def detect_encoding(data: bytes, *, is_whole: bool = False) -> str | None:
    """The encoding of ``data``, or None where nothing decides.

    Args:
        data: the text's first bytes, which may end within a character.
        is_whole: whether they are the whole text.
    """
    if (marked := marked_encoding(data)) is not None:
        return marked
    if b"\x1b$" in data and not _HIGH.search(data):
        return "iso2022_jp"
    if (wide := _wide(data)) is not None:
        return wide
    if _decoded(data, "utf-8", is_whole=is_whole) is not None:
        return "utf-8"
    runs = _HIGH.findall(data)
    if sum(map(len, runs)) <= _MAX_SCATTERED * len(runs) and not _NOT_LATIN.search(data):
        return _latin(data)
    return _by_letters(data)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of its ASCII characters is zero."""
    if b"\0" not in data:
        return None
    for name, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[::2])):
        if zeros.count(0) > 0.3 * len(zeros) and _decoded(data, name) is not None:
            return name
    return None


def _latin(data: bytes) -> str | None:
    western, central = _decoded(data, "cp1252"), _decoded(data, "cp1250")
    if western is None or central is None or western == central:
        return "cp1252" if western is not None else "cp1250" if central is not None else None
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - 0.4 s, and rarely needed

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*_CENTRAL, *_WESTERN])
    code, probability = identifier.classify(central)
    return "cp1250" if code in _CENTRAL and probability > 0.9 and identifier.classify(western)[0] == code else "cp1252"


def _by_letters(data: bytes) -> str | None:
    from charset_normalizer import from_bytes  # noqa: PLC0415 - 40 ms, needed for other encodings alone

    whole = data[: data.rfind(b"\n") + 1] or data  # a sample may end within a character
    matches = [(match.chaos, match.encoding, str(match)) for match in from_bytes(whole, cp_isolation=list(_USUAL))]
    japanese = [name for _, name, text in matches if name in {"cp932", "euc_jp"} and _share(text, _is_kana) >= _KANA]
    if len(japanese) == 1:
        return japanese[0]
    found = sorted(
        (chaos, name)
        for chaos, name, text in matches
        if _share(text, _USUAL[name][0]) >= _USUAL[name][1] and sum(sign > "\x7f" for sign in text) >= _MIN_LETTERS
    )
    if not found or (len(found) > 1 and found[1][0] - found[0][0] < _CLEAR):
        return None
    return found[0][1]


def _share(text: str, is_usual: Callable[[str], bool]) -> float:
    other = [sign for sign in text if sign > "\x7f"]
    return sum(map(is_usual, other)) / len(other) if other else 0.0


def _is_kana(sign: str) -> bool:
    return "\u3041" <= sign <= "\u30ff"


def _is_hangul(sign: str) -> bool:
    return "\uac00" <= sign <= "\ud7a3"


def _is_cyrillic(sign: str) -> bool:
    return sign in "оеаиіОЕАИІ"  # a Greek text read as Cyrillic has few of these vowels


def _is_greek(sign: str) -> bool:
    return "\u0370" <= sign <= "\u03ff" and sign not in "ΰΐ"  # what a Cyrillic a is in a Greek table


def _has_lead(encoding: str, ranges: tuple[tuple[int, int], ...]) -> Callable[[str], bool]:
    def is_usual(sign: str) -> bool:
        try:
            lead = sign.encode(encoding)[0]
        except UnicodeEncodeError:
            return False
        return any(low <= lead <= high for low, high in ranges)

    return is_usual


# Encoding: what its usual letters are, and their least share of all that is not ASCII.
_USUAL: dict[str, tuple[Callable[[str], bool], float]] = {
    "cp932": (_is_kana, 0.1),
    "euc_jp": (_is_kana, 0.1),
    "gb18030": (_has_lead("gb2312", ((0xA1, 0xA3), (0xB0, 0xD7))), 0.85),
    "big5": (_has_lead("big5", ((0xA1, 0xA3), (0xA4, 0xC6))), 0.85),
    "cp949": (_is_hangul, 0.85),
    "cp1251": (_is_cyrillic, 0.2),
    "cp1253": (_is_greek, 0.97),
}


def _decoded(data: bytes, encoding: str, *, is_whole: bool = False) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
    except UnicodeDecodeError:
        return None
