"""Checks a translation for faults that rules can detect without its meaning. Pure functions: text in, flags out."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from edgechat.tasks.translate.languages import LANGUAGES, UNDETERMINED, is_clearly_other, runs_of, scripts_of
from edgechat.tasks.translate.numerals import number_differences
from edgechat.tasks.translate.protect import protected_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgechat.tasks.translate.result import Flag

FATAL: frozenset[Flag] = frozenset(
    ("placeholder", "empty", "repetition", "wrong_language", "preamble", "prompt_echo", "truncated")
)
"""With one of these flags the answer is not a translation, and the source is kept."""

_PAIRS = {"(": ")", "[": "]", "{": "}", "「": "」", "『": "』", "【": "】", "〈": "〉", "《": "》"}
_CLOSING = {close: opening for opening, close in _PAIRS.items()}

_PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course)[,!. ]|here(?:'s| is)(?: the| your)? translat"
    r"|(?:hello|hi)\b.{0,30}\b(?:assist|help) you|how (?:can|may) i (?:assist|help) you"
    r"|您?你?好.{0,12}(?:帮助|帮您|帮到|为您服务)|(?:何か)?お手伝いできること"
    r"|(?:the )?translat(?:ion|ed text)\b.{0,20}:|i(?:'m sorry| cannot| can't| am (?:unable|sorry))|as an ai"
    r"|翻訳(?:文|結果)?\s*[:：]|以下(?:は|が|に).{0,12}(?:翻訳|訳)|申し訳"
    r"|(?:以下是)?(?:译文|翻译)(?:如下)?\s*[:：]|抱歉|对不起)",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|prompts?|rules|above|previous|prior|everything)\b"
    r"|\byou are now\b|\bsystem prompt\b|\b(?:instead|just|only)\b.{0,20}\b(?:write|reply|answer|output|respond|say)\b"
    r"|\b(?:write|reply|answer|output|respond|say)\b.{0,25}\b(?:only|exactly|instead)\b"
    r"|(?:上記|以上|前|これまで|先)の?(?:すべての|全ての)?(?:指示|命令|内容|文|プロンプト).{0,8}(?:無視|忘れ|従わ)"
    r"|(?:無視|忽略|忽视|不要理会).{0,12}(?:指示|命令|指令|提示|上述|以上|之前|上面)|(?:とだけ|だけを?)(?:書|出力|答え|返)"
    r"|只(?:写|输出|回答|回复)",
    re.IGNORECASE | re.DOTALL,
)
_SMALL_WORD = re.compile(r"(?<![A-Za-z0-9./_@-])[a-z]{4,}(?![A-Za-z0-9_@/-]|\.[a-z])")
_INTERNATIONAL = frozenset(("http", "https", "mbar", "kbit", "mbit", "kbyte", "rpms", "ppmv"))
"""Latin words in small letters that Japanese and Chinese texts keep."""
_ENGLISH = frozenset(("the", "and", "with", "which", "because"))
"""Words that no other language in Latin letters has."""
# Width of a character in Latin letters, by script; measured on manuals in both directions.
_WIDTH = {"kana": 2.2, "han": 2.8, "hangul": 1.9, "thai": 1.1}
_LENGTH_SPREAD = 3.0
_LENGTH_FROM = 12
_MAX_REPEATED = 0.4
"""Maximum share of an answer that may be repetition."""


def flags_of(
    source: str, target: str, *, source_language: str, target_language: str, given: Iterable[str] = ()
) -> list[Flag]:
    """All flags of one finished segment, except those for protected parts, glossary and prompt echo.

    Args:
        source: the segment.
        target: its translation.
        source_language: language code or ``und``.
        target_language: language code.
        given: words that the translation may have in any language: the targets of the glossary.
    """
    found: list[Flag] = []
    if not target.strip():
        return ["empty"]
    if _PREAMBLE.match(target) and not _PREAMBLE.match(source):
        found.append("preamble")
    if _same(source, target) and not _may_stay(source, source_language, target_language):
        found.append("identical")
    if repeats(target) > max(_MAX_REPEATED, 2 * repeats(source)):
        found.append("repetition")
    if is_wrong_language(source, target, target_language):
        found.append("wrong_language")
    if leftover_words(source, target, source_language, target_language, given):
        found.append("source_words")
    missing, extra = number_differences(source, target, source_language, target_language)
    if missing:
        found.append("number_missing")
    if extra:
        found.append("number_extra")
    if _unbalanced(target) and not _unbalanced(source):
        found.append("bracket")
    if is_odd_length(source, target):
        found.append("length")
    if looks_like_instruction(source):
        found.append("instruction_in_text")
    return found


def looks_like_instruction(text: str) -> bool:
    """Whether a text looks like an instruction to a model. It is translated like any other, and flagged for review."""
    return _INSTRUCTION.search(text) is not None


def repeats(text: str) -> float:
    """The share of a text, 0 to 1, that repeats earlier text, as in a decoding loop."""
    plain = re.sub(r"\s+", " ", text)
    scripts = scripts_of(plain)
    size = 6 if scripts.get("kana", 0) + scripts.get("han", 0) > scripts.get("latin", 0) else 12
    if len(plain) < 2 * size:
        # Too short for n-grams; one to three characters repeated five times are a loop too.
        return 1.0 if re.fullmatch(r"(.{1,3}?)\1{4,}.{0,2}", plain) else 0.0
    seen: set[str] = set()
    covered = bytearray(len(plain))
    last: dict[str, int] = {}
    for at in range(len(plain) - size + 1):
        gram = plain[at : at + size]
        if gram in seen and at - last[gram] >= size // 3:
            covered[at : at + size] = b"\1" * size
        seen.add(gram)
        last.setdefault(gram, at)
    return sum(covered) / len(plain)


def is_wrong_language(source: str, target: str, code: str) -> bool:
    """Whether an answer is clearly not in the requested language. Names and codes alone are not evidence."""
    language = LANGUAGES[code]
    scripts = scripts_of(target)
    own = sum(scripts.get(script, 0) for script in language.scripts)
    total = sum(scripts.values())
    if total == 0:
        return False
    if code == "zh" and scripts.get("kana", 0) > 1:
        return True
    if code == "ja" and not scripts.get("kana", 0) and own >= 12:
        return True  # Japanese sentences contain kana; only titles do not
    if own == 0:
        # A name may stay as it is; a sentence may not.
        return scripts_of(source) != {} and not (_is_name(source) and _is_name(target))
    if "latin" not in language.scripts:
        words = len(re.findall(r"[A-Za-z]{3,}", target))
        return words >= 4 and scripts.get("latin", 0) > 4 * own
    east = sum(scripts.get(script, 0) for script in ("kana", "han", "hangul"))
    return east > 0.3 * total or is_clearly_other(target, code)


def leftover_words(
    source: str, target: str, source_language: str, target_language: str, given: Iterable[str] = ()
) -> list[str]:
    """The words of the source language in ``target`` that should have been translated, such as 每班 in English.

    Names, codes, units and whatever the source protects may stay; one kanji word may be Japanese and Chinese.
    """
    kept = [part.text for part in protected_parts(source)] + list(given)
    rest = target
    for text in sorted(kept, key=len, reverse=True):
        rest = rest.replace(text, " ")
    scripts = LANGUAGES[target_language].scripts
    known = source_language in LANGUAGES
    foreign = set(LANGUAGES[source_language].scripts if known else ("kana", "han")) - set(scripts) - {"latin"}
    found = runs_of(rest, foreign)
    if "latin" not in scripts:
        found += _latin_left(source, rest)
    elif source_language == "en":
        found += [word for word in re.findall(r"[^\W\d_]+", rest) if word.lower() in _ENGLISH]
    return found


def _latin_left(source: str, target: str) -> list[str]:
    """Words in small letters that stand in both texts; names, labels and units begin otherwise or are short."""
    words = set(_SMALL_WORD.findall(source))
    return [word for word in _SMALL_WORD.findall(target) if word in words and word not in _INTERNATIONAL]


def is_odd_length(source: str, target: str) -> bool:
    """Whether the length of a translation is implausible; short texts are not checked."""
    there, here = _width(source), _width(target)
    if max(there, here) < _LENGTH_FROM:
        return False
    return here > _LENGTH_SPREAD * there + 8 or there > _LENGTH_SPREAD * here + 8


def _width(text: str) -> float:
    """Length of a text in Latin letters."""
    scripts = scripts_of(text)
    return len(text) + sum(count * (_WIDTH[script] - 1) for script, count in scripts.items() if script in _WIDTH)


def _same(source: str, target: str) -> bool:
    """Whether two texts have the same words, ignoring punctuation."""
    return _plain(source) == _plain(target) or _bare(source) == _bare(target) != ""


def _may_stay(source: str, source_language: str, target_language: str) -> bool:
    """Whether a text may be equal in both languages: names, codes, and short kanji text in Japanese and Chinese."""
    if {source_language, target_language} <= {"ja", "zh", UNDETERMINED}:
        return set(scripts_of(source)) <= {"han"} and len(source) <= 8
    return _is_name(source)


def _is_name(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text)
    return len(words) <= 3 and all(word[:1].isupper() and word.isascii() for word in words)


def _unbalanced(text: str) -> bool:
    stack: list[str] = []
    for sign in unicodedata.normalize("NFKC", text):
        if sign in _PAIRS:
            stack.append(sign)
        elif sign in _CLOSING and (not stack or stack.pop() != _CLOSING[sign]):
            return True
    return bool(stack)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", " ", _plain(text)).strip()


_WEIGHTS: dict[Flag, int] = {
    "instruction_in_text": 0, "number_missing": 10, "number_extra": 10, "source_words": 10, "identical": 10,
    "placeholder_order": 5, "glossary": 5,
}  # fmt: skip


def severity(flags: list[Flag]) -> int:
    """The weight of a list of flags, to choose between two attempts; any fatal flag outweighs all others."""
    return sum(1000 if flag in FATAL else _WEIGHTS.get(flag, 1) for flag in flags)
