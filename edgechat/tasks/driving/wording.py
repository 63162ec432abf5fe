"""The model's wordings of the countermeasures, and the check that each keeps the meaning of its code.

Small models may reverse advice. A wording must therefore name the action of its code, must not forbid or reverse it,
and must contain no number; otherwise the rule's text is kept. The codes never change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgechat.tasks.contract import Schema
    from edgechat.tasks.driving.countermeasures import Code
    from edgechat.tasks.language import Language

MAX_WORDED = 3
"""Number of countermeasures that the model words, most urgent first; the others keep the rule's text, to save time."""
LENGTH: dict[Language, int] = {"en": 90, "ja": 55, "zh": 45}
"""Maximum characters of one wording."""

_Patterns = dict["Language", "re.Pattern[str]"]


def _compiled(en: str, ja: str, zh: str) -> _Patterns:
    return {"en": re.compile(en, re.IGNORECASE), "ja": re.compile(ja), "zh": re.compile(zh)}


_ABOUT: dict[Code, _Patterns] = {
    "brake_fully": _compiled(r"\bbrak(?:e|ing)\b", "制動|ブレーキ", "制动|刹车"),
    "brake_now": _compiled(r"\bbrak(?:e|ing)\b", "制動|ブレーキ", "制动|刹车"),
    "increase_gap": _compiled(r"\b(?:increase|widen|lengthen|enlarge|more)\b.*\b(?:gap|distance|space)\b|\bfall back\b",
                              "車間.*(?:広げ|空け|あけ|取|とっ)", "(?:加大|拉开|增大|增加).*(?:车距|距离)"),
    "return_to_lane_center": _compiled(r"\b(?:cent(?:er|re)|middle)\b.*\blane\b|\blane (?:cent(?:er|re)|middle)\b",
                                       "車線.*(?:中央|中心)", "车道.*(?:中央|中间|中心)"),
    "slow_down_slippery": _compiled(r"\bslow(?:er|ly)?\b|\b(?:reduce|lower|drop)\b.*\bspeed\b",
                                    "速度を.{0,4}(?:落|下|控え)|減速|徐行", "减速|降低.*(?:车速|速度)|慢"),
    "no_sudden_inputs": _compiled(r"\b(?:sudden|abrupt|sharp|jerk|smooth|gent)", "急|滑らか|穏やか", "急|平稳|平顺"),
    "lights_on": _compiled(r"\b(?:lights?|headlights?|lamps?)\b", "灯|ライト", "灯"),
    "watch_ahead": _compiled(r"\b(?:watch|look|eyes|attent|observe|monitor)", "前方.*(?:確認|注意|注視|見)",
                             "(?:观察|注意|留意).*前方|前方.*(?:观察|注意|留意)"),
    "keep_observing": _compiled(r"\b(?:observ|watch|attent|alert|look)", "注意|確認|観察", "观察|注意|留意"),
}  # fmt: skip
# Words that reverse the advice: a ban, the opposite action, or permission to do nothing.
_REVERSED = _compiled(
    r"\b(?:do(?:es)? not|don't|never|no need|needn't|unnecessary|avoid|stop (?!and)|release|instead|without"
    r"|off the brake|accelerat(?:e|es|ing)\b|speed up|faster|overtake|pass the|swerve|close the (?:gap|distance)"
    r"|off the lights?|(?:lights?|lamps?) off|turn off|switch off)",
    "しないで|せずに|するな|ないでください|必要はあ|不要|やめ|加速し|速度を上げ|追い越|詰め|消灯|消して",
    "不要|不必|不用|无需|请勿|切勿|避免|停止|加速|提速|超车|缩短|关闭|关灯",
)
# For these codes a ban, or permission to do nothing, is the advice itself.
_BANS: frozenset[Code] = frozenset(("no_sudden_inputs", "keep_observing"))
_OPPOSITE_OF_BAN = _compiled(r"\bspeed up\b|\bfaster\b|\bovertake\b", "追い越|速度を上げ", "超车|提速")


def wording_schema(codes: Sequence[Code], language: Language) -> Schema:
    """Schema of an object with one bounded string for each code."""
    text = {"type": "string", "minLength": 1, "maxLength": LENGTH[language]}
    return {
        "type": "object",
        "properties": {code: dict(text) for code in codes},
        "required": list(codes),
        "additionalProperties": False,
    }


def wording_fault(code: Code, text: str, language: Language) -> str:
    """Why ``text`` is rejected as a wording of ``code``, or ``""``."""
    if not clean_line(text):
        return "The wording is empty."
    if not _ABOUT[code][language].search(text):
        return f"The wording does not say {code}."
    reverse = (_OPPOSITE_OF_BAN if code in _BANS else _REVERSED)[language]
    if found := reverse.search(text):
        return f"The wording may reverse {code} ({found[0].strip()!r})."
    if re.search(r"\d", text):
        return "The wording holds a number; numbers are the rules'."
    return ""
