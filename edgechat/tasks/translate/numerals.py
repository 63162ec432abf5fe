"""Reads the numbers in a text in any notation: full-width, with separators, with 万 or million, in kanji (漢数字).

Two texts are compared by the multisets of their values. Where a decimal comma is usual, 2,5 and 900.000 are read so.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from edgechat.tasks.translate.languages import UNDETERMINED

if TYPE_CHECKING:
    from collections.abc import Mapping

Numbers = Counter[Decimal]

_DECIMAL_COMMA = frozenset(
    ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "fi", "pl", "cs", "tr", "vi", "id", "ru", "uk", "el")
)
"""Languages that write 2,5 for two and a half and 900.000 or 900 000 for nine hundred thousand."""
_GROUPS_BY_POINT = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:\.[0-9]{3})+(?![0-9])(?!\.[0-9])")
_GROUPS_BY_SPACE = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:[\u00a0\u202f][0-9]{3})+(?![0-9])")
_COMMA = re.compile(r"(?<=[0-9]),(?=[0-9])")
_MIXED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+(?![0-9])")
"""1.250,00 can be read in one way only, in any language."""
_FULL_HOUR = re.compile(r"(?<![0-9:])([0-9]{1,2}):00(?![0-9:])")
_FRACTION = re.compile(r"([0-9]*)\s?([¼½¾⅐-⅞])")

# Chinese units with a prefix that is a numeral elsewhere: 兆帕 is MPa, 千克 is kg, 百帕 is hPa.
_PREFIXED_UNIT = re.compile(r"(?<=[0-9.])(?:兆(?=[帕瓦赫欧焦伏牛字比])|千(?=[克米瓦帕赫伏牛卡焦欧安字比])|百(?=帕))")

_KANJI_DIGITS = {
    **{sign: value for value, sign in enumerate("〇一二三四五六七八九")},
    "零": 0,
    "两": 2,
    "兩": 2,
    "壱": 1,
    "弐": 2,
    "参": 3,
}
_SMALL = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "億": 10**8, "亿": 10**8, "兆": 10**12}
_KANJI = "".join((*_KANJI_DIGITS, *_SMALL, *_LARGE))
_SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "millionen": 10**6, "milliarde": 10**9, "milliarden": 10**9, "milliard": 10**9, "millón": 10**6,
    "millones": 10**6, "mil millones": 10**9, "milione": 10**6, "milioni": 10**6, "miliardo": 10**9,
    "miliardi": 10**9, "milhão": 10**6, "milhões": 10**6, "miljoen": 10**6, "miljard": 10**9,
}  # fmt: skip

_PLAIN = r"[0-9]{1,3}(?:[,'’][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
# 3億5000万 is one number; 1.5 million is one; 12 and 34 in 12:34 are two.
_EAST = re.compile(rf"(?:(?:{_PLAIN})[十百千]*[{''.join(_LARGE)}]?)*(?:{_PLAIN})[{''.join((*_SMALL, *_LARGE))}]*")
_WEST = re.compile(rf"({_PLAIN})[ -]({'|'.join(sorted(_SCALES, key=len, reverse=True))})s?\b", re.IGNORECASE)
_PART = re.compile(rf"({_PLAIN})([{''.join((*_SMALL, *_LARGE))}]*)")
_KANJI_RUN = re.compile(f"[{_KANJI}]+")
# Counters and units of Japanese and Chinese; one after kanji numerals shows that they are a number.
_UNITS = "秒分時时日天月年週周度個个本枚张台人名回次件点円元歳岁号階层倍割条行ヶか箇"
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?", re.IGNORECASE)
_COUNTED = re.compile(r"(?<![0-9.,])([0-9]+)(?=[^\W\d_A-Za-z\u00c0-\u024fをとがのにはでもへや])")
"""Digits followed by a counter, that is, a letter that is neither Latin nor a particle: 1本, 5月, 2番目."""

_UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_WORDS = {word: value for value, word in enumerate(_UP_TO_TWENTY.split(" "))}
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "twenty": 20}
_WORDS.update(_TENS)
_WORDS.update({f"{ten}-{one}": tens + _WORDS[one] for ten, tens in _TENS.items() for one in list(_WORDS)[1:10]})
_NUMBER_WORDS = {word: value for word, value in _WORDS.items() if value >= 2}
"""English words that are always a number; one and zero are not (one of them, zero offset)."""
_WORDS.update({"dozen": 12, "both": 2, "pair": 2, "double": 2, **_SCALES})
_KANA = {"ふたつ": 2, "みっつ": 3, "よっつ": 4, "いつつ": 5, "むっつ": 6, "ななつ": 7, "やっつ": 8, "ここのつ": 9}
_DUAL = re.compile("[双雙對]|两|兩|両|ペア")
# English words that are mostly not numbers (wait a second, you may, do it first), but that Japanese, Chinese and Korean
# write as digits with a counter.
_COUNTABLE = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "once": 1, "twice": 2, "half": 2, "a": 1, "an": 1,
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6, "july": 7, "august": 8,
    "september": 9, "october": 10, "november": 11, "december": 12, "jan": 1, "feb": 2, "mar": 3, "apr": 4,
    "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip


def written_numbers(text: str, language: str = "en") -> Numbers:
    """Numbers written in digits, each with its scale (150万 equals 1.5 million).

    Args:
        text: the text.
        language: code of its language, which decides what a comma and a point in a number mean.
    """
    return _written(_plain(text, language))[0]


def possible_numbers(text: str, language: str = "en") -> Numbers:
    """Possible numbers in words or kanji. Not certain: 一般 (general) contains 一."""
    _, rest = _written(_plain(text, language))
    found: Numbers = Counter(Decimal(value) for run in _KANJI_RUN.findall(rest) for value in _readings(run))
    found.update({Decimal(value): rest.count(word) for word, value in _KANA.items() if word in rest})
    found[Decimal(2)] += len(_DUAL.findall(rest))
    found[Decimal("0.5")] += rest.count("半")
    found.update(_words(rest, _WORDS))
    return +found


def number_differences(
    source: str, target: str, source_language: str = "en", target_language: str = "en"
) -> tuple[list[str], list[str]]:
    """The numbers of ``source`` missing in ``target``, and the numbers of ``target`` that ``source`` does not have."""
    counts_words = source_language in {"en", UNDETERMINED} and target_language in {"en", "ja", "zh"}
    # A translation may keep the source's notation, so each text is read in its own and in the English one.
    readings = dict.fromkeys(((source_language, target_language), (source_language, "en"), ("en", "en")))
    return min(
        (_differences(source, target, reads, writes, counts_words=counts_words) for reads, writes in readings),
        key=lambda found: len(found[0]) + len(found[1]),
    )


def _differences(
    source: str, target: str, reads: str, writes: str, *, counts_words: bool
) -> tuple[list[str], list[str]]:
    there, here = written_numbers(source, reads), written_numbers(target, writes)
    kanji = _certain_kanji(source) - _words(unicodedata.normalize("NFKC", target), _COUNTABLE)
    certain = kanji + _certain_words(source) if counts_words else kanji
    missing = (there + certain) - (here + possible_numbers(target, writes)) - _counted(source, target)
    extra = here - (there + possible_numbers(source, reads)) - _counted(target, source)
    return _as_text(missing), _as_text(extra)


def _plain(text: str, language: str) -> str:
    """``text`` with numbers as in English, without width, fractions and prefixes of units that look like numerals."""
    whole = _GROUPS_BY_SPACE.sub(lambda found: re.sub("[^0-9]", "", found[0]), text)
    whole = _FRACTION.sub(
        lambda found: f"{Decimal(found[1] or 0) + Decimal(str(unicodedata.numeric(found[2])))}", whole
    )
    plain = _PREFIXED_UNIT.sub("", unicodedata.normalize("NFKC", whole))
    plain = _FULL_HOUR.sub(r"\1", plain)  # 9:00 is 9時
    plain = _MIXED.sub(lambda found: found[0].replace(".", "").replace(",", "."), plain)
    if language in _DECIMAL_COMMA:
        plain = _GROUPS_BY_POINT.sub(lambda found: re.sub(r"[^0-9]", "", found[0]), plain)
        plain = _COMMA.sub(".", plain)
    return plain


def _certain_words(text: str) -> Numbers:
    """Numbers in English words, such as the two of "two of 36 parts"."""
    _, rest = _written(_plain(text, "en"))
    return _words(rest, _NUMBER_WORDS)


def _certain_kanji(text: str) -> Numbers:
    """Numbers in kanji that cannot be anything else: several numerals followed by a unit.

    三十秒 is a number; 一般 (general), 五十嵐 (a name) and 二三日 (a few days) are not.
    """
    _, rest = _written(unicodedata.normalize("NFKC", text))
    return Counter(
        Decimal(_value(run[0]))
        for run in _KANJI_RUN.finditer(rest)
        if _is_compound(run[0]) and rest[run.end() : run.end() + 1] in set(_UNITS)
    )


def _is_compound(run: str) -> bool:
    n_digits = sum(sign in _KANJI_DIGITS for sign in run)
    return len(run) > 2 if n_digits == len(run) else n_digits > 0 and run[0] not in _LARGE


def _counted(digits: str, words: str) -> Numbers:
    """Numbers with a counter in ``digits`` that ``words`` may express as an article, an ordinal or a month."""
    counted = Counter(_decimal(each) for each in _COUNTED.findall(unicodedata.normalize("NFKC", digits)))
    return counted & _words(unicodedata.normalize("NFKC", words), _COUNTABLE)


def _words(plain: str, values: Mapping[str, int]) -> Numbers:
    return Counter(Decimal(values[word.lower()]) for word in _WORD.findall(plain) if word.lower() in values)


def _written(plain: str) -> tuple[Numbers, str]:
    found: Numbers = Counter()

    def west(match: re.Match[str]) -> str:
        found[_decimal(match[1]) * _SCALES[match[2].lower()]] += 1
        return " "

    def east(match: re.Match[str]) -> str:
        total = Decimal(0)
        for digits, scale in _PART.findall(match[0]):
            value = _decimal(digits)
            for sign in scale:
                value *= _SMALL.get(sign) or _LARGE[sign]
            total += value
        found[total.normalize()] += 1
        return " "

    rest = _EAST.sub(east, _WEST.sub(west, plain))
    return Counter({value.normalize(): count for value, count in found.items()}), rest


def _readings(run: str) -> set[int]:
    """The possible values of a run of kanji numerals: of the whole run, and of each digit alone."""
    return {*(_KANJI_DIGITS[sign] for sign in run if sign in _KANJI_DIGITS), _value(run)}


def _value(run: str) -> int:
    """The value of a run of kanji numerals, in positional (二〇二六) or in unit notation (二十六)."""
    if all(sign in _KANJI_DIGITS for sign in run):
        return int("".join(str(_KANJI_DIGITS[sign]) for sign in run))
    total = section = digit = 0
    for sign in run:
        if sign in _KANJI_DIGITS:
            digit = _KANJI_DIGITS[sign]
        elif sign in _SMALL:
            section, digit = section + (digit or 1) * _SMALL[sign], 0
        else:
            total, section, digit = total + (section + digit or 1) * _LARGE[sign], 0, 0
    return total + section + digit


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(re.sub(r"[,'’]", "", digits))
    except InvalidOperation:  # pragma: no cover - the patterns admit only what Decimal reads
        return Decimal(0)


def _as_text(numbers: Numbers) -> list[str]:
    return [f"{value:f}" for value in sorted(numbers.elements())]
