"""Reads the numbers in a text in any notation: full-width, with separators, with 万 or million, in kanji (漢数字).

Two texts are compared by the multisets of their values.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Numbers = Counter[Decimal]

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
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_PLAIN = r"[0-9]{1,3}(?:[,'’\u00a0\u202f][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+"
# 3億5000万 is one number; 1.5 million is one; 12 and 34 in 12:34 are two.
_EAST = re.compile(rf"(?:(?:{_PLAIN})[十百千]*[{''.join(_LARGE)}]?)*(?:{_PLAIN})[{''.join((*_SMALL, *_LARGE))}]*")
_WEST = re.compile(rf"({_PLAIN})[ -]({'|'.join(_SCALES)})s?\b", re.IGNORECASE)
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
_WORDS.update({"dozen": 12, **_SCALES})
# English words that are mostly not numbers (wait a second, you may, do it first), but that Japanese, Chinese and Korean
# write as digits with a counter.
_COUNTABLE = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "once": 1, "twice": 2, "half": 2, "a": 1, "an": 1,
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6, "july": 7, "august": 8,
    "september": 9, "october": 10, "november": 11, "december": 12, "jan": 1, "feb": 2, "mar": 3, "apr": 4,
    "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip


def written_numbers(text: str) -> Numbers:
    """Numbers written in digits, each with its scale (150万 equals 1.5 million)."""
    return _written(unicodedata.normalize("NFKC", text))[0]


def possible_numbers(text: str) -> Numbers:
    """Possible numbers in words or kanji. Not certain: 一般 (general) contains 一."""
    _, rest = _written(unicodedata.normalize("NFKC", text))
    found: Numbers = Counter(Decimal(value) for run in _KANJI_RUN.findall(rest) for value in _readings(run))
    found.update(_words(rest, _WORDS))
    return found


def number_differences(source: str, target: str) -> tuple[list[str], list[str]]:
    """The numbers of ``source`` missing in ``target``, and the numbers of ``target`` that ``source`` does not have."""
    there, here = written_numbers(source), written_numbers(target)
    kanji = _certain_kanji(source) - _words(unicodedata.normalize("NFKC", target), _COUNTABLE)
    missing = (there + kanji) - (here + possible_numbers(target)) - _counted(source, target)
    extra = here - (there + possible_numbers(source)) - _counted(target, source)
    return _as_text(missing), _as_text(extra)


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
        return Decimal(re.sub(r"[,'’\u00a0\u202f ]", "", digits))
    except InvalidOperation:  # pragma: no cover - the patterns admit only what Decimal reads
        return Decimal(0)


def _as_text(numbers: Numbers) -> list[str]:
    return [f"{value:f}" for value in sorted(numbers.elements())]
