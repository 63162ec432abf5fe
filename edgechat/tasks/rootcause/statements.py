"""Checks a model's statement against the evidence that it cites.

Small models restate the defect, reverse a deviation, drop the "not" of a note, copy an example turn, or invent. Each of
these is rejected, and the rules' sentence takes the place of the statement. The check prefers a rejected true
sentence to an accepted false one: a statement may use only words of its evidence and a short list of joining words.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.grounding import GroundingTexts
from edgechat.tasks.rootcause.quantity import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from edgechat.tasks.rootcause.line_state import JudgedLine

_ABOVE = re.compile(
    (
        r"\b(?:above|over|exceed\w*|higher|too (?:high|hot|long|fast|large|thick|many|much|deep|wide|strong"
        r"|late)|high|excessive|increased|rose|overheat\w*)\b"
        r"|超え|超過|上回|高い|高すぎ|高く|高かっ|過大|過多|長すぎ|大きすぎ|上昇|超出|超过|超标|超限|高于|过高"
        r"|偏高|过大|过长|过多|太高"
    ),
    re.IGNORECASE,
)
_BELOW = re.compile(
    (
        r"\b(?:below|under|lower|less than|too (?:low|cold|short|slow|small|thin|few|little|shallow|narrow"
        r"|weak|early)|low|short of|insufficient|decreased|dropped|fell|lack\w*)\b"
        r"|下回|低い|低すぎ|低く|低かっ|低下|過小|過少|短すぎ|短い|小さすぎ|不足|足りな|低于|过低|偏低|不足"
        r"|过小|过短|过少|太低|未达|不够"
    ),
    re.IGNORECASE,
)
_NEGATION = re.compile(
    (
        r"\b(?:not|no|never|without|skip\w*|omitt\w*|instead|miss\w*|fail\w*|forg[eo]t\w*|although|left out"
        r"|un\w{3,}|wrong\w*|rather than|only|still|cannot|off)\b|n't\b"
        r"|ない|なかった|なく|なし|ず|未|省略|省か|飛ばし|忘れ|不|代わり|誤|間違|違|切れ|漏れ|落と|没|未|忘|漏"
        r"|不|省略|跳过|错|误|缺|而"
    ),
    re.IGNORECASE,
)
_LATIN = re.compile(r"[A-Za-z][A-Za-z'-]{2,}")
_CJK_RUN = re.compile(r"[\u3400-\u9fff々]{2,}|[\u30a1-\u30fa\u30fc]{2,}")
_CJK = re.compile(r"[\u3400-\u9fff\u30a1-\u30fa]")
_LONE_KANJI = re.compile(r"(?<![\u3400-\u9fff])[\u3400-\u9fff](?![\u3400-\u9fff])")
_JOINING = frozenset(
    """the and was were are has had have been being for with from that this than then its their his her which who when
    where while during before after because since due too high higher low lower above below over under exceed exceeds
    exceeded exceeding limit limits range specification tolerance setpoint nominal value reading level rate measured
    showed shows may might could cause caused causes causing lead led leads leading result resulted outside within out
    not did does does into onto onto by on at in of to
    a an is as it be but only both one two more less short long greater lie lies lying""".split()  # noqa: SIM905 - a word list
)
_JOINING_CJK = frozenset(
    (  # noqa: SIM905 - a word list
        "下回 上回 設定 規格 上限 下限 範囲 公差 許容 超過 低下 上昇 異常 原因 可能 影響 不足 以上 以下 基準 基準値 "
        "設定値 高過 状態 発生 温度 圧力 确认 偏高 偏低 过高 过低 超过 超出 低于 高于 规格 范围 设定 上限 "
        "下限 导致 "
        "可能 原因 造成 引起 由于 因为 不足 异常 数值 实际"
    ).split()
)
_COVERED = 0.75
"""Share of the two-character pieces of a Japanese or Chinese statement that its evidence must hold."""
_ENDS = (".", "!", "?", "。", "！", "？")
_STEM = 4
"""Shortest stem that is compared with others by its beginning."""
_SHORTEST_LATIN, _SHORTEST_CJK = 12, 6


def statement_fault(
    text: str,
    *,
    cited: Sequence[str],
    texts: dict[str, str],
    lines: Sequence[JudgedLine],
    defect_words: str,
    example_words: Collection[str],
    longest: int,
) -> str:
    """Why a model's statement is replaced by the rules' sentence, or ``""``.

    Args:
        text: the statement.
        cited: the ids that the statement cites.
        texts: the text of every id that may be cited.
        lines: the abnormal lines.
        defect_words: product, defect and location, which name the effect and no cause.
        example_words: words of the prompt's example turns.
        longest: the number of characters at which the schema cut the statement off.
    """
    said = plain(clean_line(text))
    evidence = " ".join(plain(texts[one]) for one in cited if one in texts)
    shortest = _SHORTEST_CJK if _CJK_RUN.search(said) else _SHORTEST_LATIN
    if len(said) < shortest:
        return "It is too short to be a statement."
    if len(clean_line(text)) >= longest and not said.endswith(_ENDS):
        return "It was cut off."
    if missing := GroundingTexts((evidence, defect_words, *cited)).missing(said):
        return f"It cites what its evidence does not hold: {', '.join(one.token for one in missing)}."
    if leaked := _words(said) & {word.lower() for word in example_words} - _words(f"{evidence} {plain(defect_words)}"):
        return f"It repeats an example of the prompt: {', '.join(sorted(leaked)[:3])}."
    if fault := _direction_fault(said, cited, lines):
        return fault
    if fault := _foreign(said, f"{evidence} {plain(defect_words)}"):
        return fault
    if not _adds_to(said, plain(defect_words), evidence):
        return "It only names the defect or its place."
    return _negation_fault(said, cited, texts)


@cache
def example_terms(texts: tuple[str, ...]) -> frozenset[str]:
    """The words of example turns that a statement must not repeat."""
    return frozenset(word for text in texts for word in _words(plain(text)) if word not in _JOINING)


def _is_related(stem: str, other: str) -> bool:
    """True for two forms of one word: stir and stirr(ed), calibrat(ed) and calibrat(ion)."""
    return len(stem) >= _STEM and (
        other.startswith(stem) or (len(stem) > _STEM and other.startswith(stem[: _STEM + 1]))
    )


def _words(text: str) -> set[str]:
    return {_stem(word) for word in _LATIN.findall(text)} | {
        run for run in _CJK_RUN.findall(text) if run not in _JOINING_CJK
    }


def _stem(word: str) -> str:
    word = word.lower().strip("'-")
    for ending in ("ing", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= _STEM:
            return word.removesuffix(ending)
    return word


def _foreign(said: str, ground: str) -> str:
    """Why words of ``said`` are not those of its evidence, or ``""``."""
    known = {_stem(word) for word in (*re.findall(r"[A-Za-z]{2,}", ground), *_LATIN.findall(ground))}
    joining = {_stem(word) for word in _JOINING}
    unknown = [word for word in _LATIN.findall(said) if (stem := _stem(word)) not in known and stem not in joining
               and not any(_is_related(stem, other) for other in known)]  # fmt: skip
    if unknown:
        return f"Its evidence does not say: {', '.join(dict.fromkeys(unknown))}."
    pieces = [run[i : i + 2] for run in _CJK_RUN.findall(said) if run not in _JOINING_CJK for i in range(len(run) - 1)]
    pieces = [piece for piece in pieces if piece not in _JOINING_CJK]
    pieces += _LONE_KANJI.findall(said)
    strange = [piece for piece in pieces if piece not in ground]
    if pieces and len(strange) > (1 - _COVERED) * len(pieces):
        return f"Its evidence does not say: {'、'.join(dict.fromkeys(strange))}."
    return ""


def _adds_to(said: str, defect: str, evidence: str) -> bool:
    """True when the statement has a word that is not only one of the defect, its place and the product."""
    if _CJK.search(said):
        return any(sign in evidence and sign not in defect for sign in _CJK.findall(said))
    return bool((_words(said) & _words(evidence)) - _words(defect) - {_stem(word) for word in _JOINING})


def _direction_fault(said: str, cited: Sequence[str], lines: Sequence[JudgedLine]) -> str:
    directions = {line.reading.direction for line in lines if line.id in cited and line.reading}
    if directions == {"below"} and _ABOVE.search(said) and not _BELOW.search(said):
        return "It says too high of a value that is too low."
    if directions == {"above"} and _BELOW.search(said) and not _ABOVE.search(said):
        return "It says too low of a value that is too high."
    if directions and (_ABOVE.search(said) or _BELOW.search(said)) and len(directions) > 1:
        return _mixed_fault(said, cited, lines)
    if (
        "within" not in directions
        and directions
        and re.search(r"\bwithin\b|\bnormal\b|規格内|範囲内|正常|在.{0,4}内", said)
    ):
        return "It calls a value normal that is not."
    return ""


def _mixed_fault(said: str, cited: Sequence[str], lines: Sequence[JudgedLine]) -> str:
    """With values on both sides, the direction in the statement must be that of the value that it quotes."""
    for line in lines:
        reading = line.reading
        if line.id not in cited or reading is None or reading.direction == "within":
            continue
        names = [
            word
            for word in re.findall(r"[A-Za-z]{3,}|[\u3040-\u9fff]{2,}", reading.subject)
            if word.lower() in said.lower()
        ]
        wrong = _ABOVE if reading.direction == "below" else _BELOW
        right = _BELOW if reading.direction == "below" else _ABOVE
        if names and wrong.search(said) and not right.search(said):
            return "Its direction is not that of the value that it names."
    return ""


def _negation_fault(said: str, cited: Sequence[str], texts: dict[str, str]) -> str:
    notes = [plain(texts[one]) for one in cited if one in texts]
    said_words = _words(said)
    for note in notes:
        # Only the note that the statement speaks of must pass its negation on.
        shared = said_words & _words(note) if _LATIN.search(note) else {
            run for run in _CJK_RUN.findall(said) if run in note
        }  # fmt: skip
        if (
            shared
            and _NEGATION.search(note)
            and not (_NEGATION.search(said) or _ABOVE.search(said) or _BELOW.search(said))
        ):
            return "It leaves out what its note says did not happen, or went wrong."
    return ""
